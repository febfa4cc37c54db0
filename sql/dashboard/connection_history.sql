-- $1 samples since
SELECT n.connections, n.most, s.minute, s.connections
FROM (
    SELECT
        (SELECT sum(pg_stat_get_db_numbackends(d.oid)) FROM pg_database AS d) AS connections,
        current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint AS most
) AS n
LEFT JOIN crewsnow_ops.connection_samples AS s ON s.minute >= $1
