-- Limits: any (pgwatch).
WITH
found AS (
    SELECT 'table ' || k.conrelid::regclass AS object, k.conname || ' not validated' AS value, NULL::text AS evidence,
        format('ALTER TABLE %s VALIDATE CONSTRAINT %I;', k.conrelid::regclass, k.conname) AS command, 0::float8 AS weight
    FROM pg_constraint AS k
    WHERE NOT k.convalidated AND k.conrelid <> 0 AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
),
ranked AS (SELECT f.*, row_number() OVER (ORDER BY f.weight DESC NULLS LAST, f.object) AS place, count(*) OVER () AS found FROM found AS f)
SELECT
    'WARNING' AS status, r.object, r.value AS current_value, 'validated' AS threshold,
    concat_ws('; ', r.evidence, CASE WHEN r.place = 1 AND r.found > 5 THEN format('%s more', r.found - 5) END) AS evidence,
    'Old rows may break it, and the planner does not rely on it: validate it (takes no lock that stops writers).' AS recommendation,
    r.command AS next_command, 'now' AS since
FROM ranked AS r
WHERE r.place <= 5
UNION ALL
SELECT 'OK', NULL, '0', 'validated', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
