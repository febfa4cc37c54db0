-- Sizes only, as of the last vacuum or analyze of each table (pg_database_size would look at every file). Free space is measured outside SQL, at
-- the paths of disk_paths.sql. Limits there: 90 % and 95 % (check_postgres).
SELECT
    'OK' AS status, 'database ' || current_database() AS object,
    pg_size_pretty(sum(c.relpages::bigint) * current_setting('block_size')::bigint) || ' (estimate)' AS current_value,
    NULL::text AS threshold,
    format('%s tables, %s indexes', count(*) FILTER (WHERE c.relkind IN ('r', 'm')), count(*) FILTER (WHERE c.relkind = 'i')) AS evidence,
    'Nothing to do.' AS recommendation,
    NULL::text AS next_command,
    'now' AS since
FROM pg_class AS c
WHERE c.relkind IN ('r', 'm', 't', 'i')
