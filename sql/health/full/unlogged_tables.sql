-- Limits: any on a primary with a standby, an archive or a slot (check_pgactivity, pgwatch).
WITH
found AS (
    SELECT 'table ' || c.oid::regclass AS object, 'unlogged' AS value, format('%s rows', greatest(c.reltuples, 0)::bigint) AS evidence,
        format('ALTER TABLE %s SET LOGGED;', c.oid::regclass) AS command, c.reltuples::float8 AS weight
    FROM pg_class AS c
    WHERE c.relkind = 'r' AND c.relpersistence = 'u'
        AND (EXISTS (SELECT FROM pg_stat_replication) OR EXISTS (SELECT FROM pg_replication_slots) OR current_setting('archive_mode') <> 'off')
),
ranked AS (SELECT f.*, row_number() OVER (ORDER BY f.weight DESC NULLS LAST, f.object) AS place, count(*) OVER () AS found FROM found AS f)
SELECT
    'WARNING' AS status, r.object, r.value AS current_value, 'none' AS threshold,
    concat_ws('; ', r.evidence, CASE WHEN r.place = 1 AND r.found > 5 THEN format('%s more', r.found - 5) END) AS evidence,
    'A crash empties it, and no standby or backup has its rows: make it logged if they matter.' AS recommendation, r.command AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.place <= 5
UNION ALL
SELECT 'OK', NULL, '0', 'none', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
