-- Limits: any (check_pgactivity).
WITH
found AS (
    SELECT 'extension ' || e.extname AS object, e.extversion AS value, 'available: ' || a.default_version AS evidence,
        format('ALTER EXTENSION %I UPDATE;', e.extname) AS command, 0::float8 AS weight
    FROM pg_extension AS e
    JOIN pg_available_extensions AS a ON a.name = e.extname
    WHERE a.default_version <> e.extversion
),
ranked AS (SELECT f.*, row_number() OVER (ORDER BY f.weight DESC NULLS LAST, f.object) AS place, count(*) OVER () AS found FROM found AS f)
SELECT
    'WARNING' AS status, r.object, r.value AS current_value, 'as installed' AS threshold,
    concat_ws('; ', r.evidence, CASE WHEN r.place = 1 AND r.found > 5 THEN format('%s more', r.found - 5) END) AS evidence,
    'The files of another version are installed: read its notes, then update.' AS recommendation, r.command AS next_command, 'now' AS since
FROM ranked AS r
WHERE r.place <= 5
UNION ALL
SELECT 'OK', NULL, '0', 'as installed', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
