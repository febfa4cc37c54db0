-- A script of psql. Size and heartbeat of the restored database. Another owner could have made a
-- schema of that name, so the heartbeat must be a table of the extension.
\set VERBOSITY sqlstate
SET search_path = pg_catalog, pg_temp;
SELECT json_build_object('bytes', pg_database_size(current_database()));
SELECT EXISTS (SELECT FROM pg_depend AS d
    JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'crewsnow_ops'
    JOIN pg_class AS c ON c.oid = d.objid AND c.relkind = 'r'
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass
        AND d.deptype = 'e' AND d.objid = to_regclass('crewsnow_ops.heartbeat')) AS is_own \gset
\if :is_own
SELECT json_build_object('beat', extract(epoch FROM h.beat_at))
FROM crewsnow_ops.heartbeat AS h;
\endif
