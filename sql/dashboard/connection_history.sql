-- Connections now, the limit for ordinary roles, and the samples since $1 (or one row of NULLs).
SELECT n.connections, n.connection_limit, s.minute, s.connections
FROM (
    SELECT
        (
            SELECT sum(pg_stat_get_db_numbackends(d.oid)) FROM pg_database AS d
        ) AS connections,
        current_setting('max_connections')::bigint
        - current_setting('superuser_reserved_connections')::bigint AS connection_limit
) AS n
LEFT JOIN crewsnow_ops.connection_samples AS s ON s.minute >= $1
