-- Limits: any on a primary with a standby, an archive or a slot (check_pgactivity, pgwatch).
WITH
findings AS (
    SELECT 'table ' || c.oid::regclass AS object, 'unlogged' AS value,
        format('%s rows', greatest(c.reltuples, 0)::bigint) AS evidence,
        format('ALTER TABLE %s SET LOGGED;', c.oid::regclass) AS command,
        c.reltuples::float8 AS weight
    FROM pg_class AS c
    WHERE c.relkind = 'r' AND c.relpersistence = 'u'
        AND (EXISTS (SELECT FROM pg_stat_replication) OR EXISTS (SELECT FROM pg_replication_slots)
            OR current_setting('archive_mode') <> 'off')
),
ranked AS (
    SELECT f.*, row_number() OVER (ORDER BY f.weight DESC NULLS LAST, f.object) AS rank,
        count(*) OVER () AS total
    FROM findings AS f
)
SELECT
    'WARNING' AS status, r.object, r.value AS current_value, 'none' AS threshold,
    concat_ws('; ', r.evidence,
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more', r.total - 5) END) AS evidence,
    'A crash empties the table, and standbys and backups lack its rows: make it logged if they '
    'matter.' AS recommendation, r.command AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, '0', 'none', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
