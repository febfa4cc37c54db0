-- Limits: any (check_pgactivity, pgwatch).
WITH
findings AS (
    SELECT 'table ' || t.tgrelid::regclass AS object, t.tgname || ' disabled' AS value,
        CASE WHEN t.tgisinternal THEN 'belongs to constraint ' || k.conname
            ELSE 'calls ' || t.tgfoid::regprocedure END AS evidence,
        CASE WHEN t.tgisinternal
            THEN format('ALTER TABLE %s ENABLE TRIGGER ALL;', t.tgrelid::regclass)
            ELSE format('ALTER TABLE %s ENABLE TRIGGER %I;', t.tgrelid::regclass, t.tgname) END
                AS command,
        CASE WHEN t.tgisinternal THEN 1 ELSE 0 END::float8 AS weight
    FROM pg_trigger AS t
    LEFT JOIN pg_constraint AS k ON k.oid = t.tgconstraint
    WHERE t.tgenabled = 'D'
),
ranked AS (
    SELECT f.*, row_number() OVER (ORDER BY f.weight DESC NULLS LAST, f.object) AS rank,
        count(*) OVER () AS total
    FROM findings AS f
)
SELECT
    'WARNING' AS status, r.object, r.value AS current_value, 'enabled' AS threshold,
    concat_ws('; ', r.evidence,
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more', r.total - 5) END) AS evidence,
    'The trigger does not run: enable it, then correct the rows written meanwhile.'
        AS recommendation, r.command AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, '0', 'enabled', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
