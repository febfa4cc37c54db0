-- Limits: any (check_pgactivity).
WITH
findings AS (
    SELECT 'extension ' || e.extname AS object, e.extversion AS value,
        'available: ' || a.default_version AS evidence,
        format('ALTER EXTENSION %I UPDATE;', e.extname) AS command, 0::float8 AS weight
    FROM pg_extension AS e
    JOIN pg_available_extensions AS a ON a.name = e.extname
    WHERE a.default_version <> e.extversion
),
ranked AS (
    SELECT f.*, row_number() OVER (ORDER BY f.weight DESC NULLS LAST, f.object) AS rank,
        count(*) OVER () AS total
    FROM findings AS f
)
SELECT
    'WARNING' AS status, r.object, r.value AS current_value, 'as installed' AS threshold,
    concat_ws('; ', r.evidence,
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more', r.total - 5) END) AS evidence,
    'The server has the files of another version: read its release notes, then update.'
        AS recommendation, r.command AS next_command, 'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, '0', 'as installed', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
