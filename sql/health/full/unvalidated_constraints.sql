-- Limits: any (pgwatch).
WITH
findings AS (
    SELECT 'table ' || k.conrelid::regclass AS object, k.conname || ' not validated' AS value,
        NULL::text AS evidence,
        format('ALTER TABLE %s VALIDATE CONSTRAINT %I;', k.conrelid::regclass, k.conname)
            AS command, 0::float8 AS weight
    FROM pg_constraint AS k
    WHERE NOT k.convalidated AND k.conrelid <> 0
        AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
),
ranked AS (
    SELECT f.*, row_number() OVER (ORDER BY f.weight DESC NULLS LAST, f.object) AS rank,
        count(*) OVER () AS total
    FROM findings AS f
)
SELECT
    'WARNING' AS status, r.object, r.value AS current_value, 'validated' AS threshold,
    concat_ws('; ', r.evidence,
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more', r.total - 5) END) AS evidence,
    'Old rows may violate the constraint, and the planner does not rely on it: validate it (blocks '
    'no writers).' AS recommendation,
    r.command AS next_command, 'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, '0', 'validated', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
