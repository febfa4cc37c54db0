-- Limits: any (ours). A restore loads a table's rows before the flags, or with other flags, and a
-- CHECK that they do not meet makes it lose them. A NOT VALID one is added after the rows.
WITH
evaluating AS (
    SELECT p.oid
    FROM pg_proc AS p
    JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
    JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'crewsnow_ops'
    WHERE p.proname IN ('is_feature_enabled_for_user', 'explain_feature_flag', 'evaluate_all')
    UNION
    SELECT p.oid
    FROM pg_proc AS p
    JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname <> 'internal'
    WHERE strpos(p.prosrc, 'is_feature_enabled_for_user') > 0
        AND p.pronamespace <> 'crewsnow_ops'::regnamespace
),
findings AS (
    SELECT DISTINCT
        CASE WHEN k.conrelid <> 0 THEN 'table ' || k.conrelid::regclass
            ELSE 'domain ' || k.contypid::regtype END AS object,
        k.conname || ' evaluates a flag' AS value, pg_get_constraintdef(k.oid) AS evidence,
        CASE WHEN k.conrelid <> 0
            THEN format('ALTER TABLE %s DROP CONSTRAINT %I;', k.conrelid::regclass, k.conname)
            ELSE format('ALTER DOMAIN %s DROP CONSTRAINT %I;', k.contypid::regtype, k.conname) END
            AS command,
        0::float8 AS weight
    FROM pg_constraint AS k
    JOIN pg_depend AS d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
        AND d.refclassid = 'pg_proc'::regclass AND d.refobjid IN (SELECT v.oid FROM evaluating AS v)
    WHERE k.contype = 'c' AND k.convalidated AND k.coninhcount = 0
),
ranked AS (
    SELECT f.*, row_number() OVER (ORDER BY f.weight DESC NULLS LAST, f.object) AS rank,
        count(*) OVER () AS total
    FROM findings AS f
)
SELECT
    'WARNING' AS status, r.object, r.value AS current_value, 'no flag in a CHECK' AS threshold,
    concat_ws('; ', r.evidence,
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more', r.total - 5) END) AS evidence,
    'A restored dump loses the rows of this table: drop the constraint and use a BEFORE trigger '
    '(docs/flags.md).' AS recommendation,
    r.command AS next_command, 'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, '0', 'no flag in a CHECK', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
