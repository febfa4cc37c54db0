-- A script of psql. Size and heartbeat of the restored database; without the extension the second
-- statement fails, and the script goes on.
\set VERBOSITY sqlstate
SET search_path = pg_catalog, pg_temp;
SELECT json_build_object('bytes', pg_database_size(current_database()));
SELECT json_build_object('beat', extract(epoch FROM h.beat_at))
FROM crewsnow_ops.heartbeat AS h;
