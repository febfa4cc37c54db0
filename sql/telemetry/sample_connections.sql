WITH
old AS (DELETE FROM crewsnow_ops.connection_samples WHERE minute < now() - interval '1 day')
INSERT INTO crewsnow_ops.connection_samples AS s (minute, connections)
SELECT date_trunc('minute', clock_timestamp()), sum(pg_stat_get_db_numbackends(d.oid))
    FROM pg_database AS d
ON CONFLICT (minute) DO UPDATE SET connections = greatest(s.connections, excluded.connections)
