-- Limits: 2 hours (the contract), critical from 24 (ours). An event trigger notes each REFRESH, also CONCURRENTLY, in matview_refreshes.
WITH
views AS (
    SELECT c.oid, c.relispopulated, r.refreshed_at, statement_timestamp() - r.refreshed_at AS age
    -- By their rules: pg_class may be large, and has no index on relkind.
    FROM pg_rewrite AS w
    JOIN pg_class AS c ON c.oid = w.ev_class AND c.relkind = 'm'
    LEFT JOIN crewsnow_ops.matview_refreshes AS r ON r.relid = c.oid
    WHERE w.rulename = '_RETURN'
),
judged AS (
    SELECT v.*,
        CASE WHEN NOT v.relispopulated OR v.age >= interval '24 hours' THEN 'CRITICAL'
            WHEN v.age >= interval '2 hours' THEN 'WARNING'
            WHEN v.age IS NULL THEN 'SKIPPED'
            ELSE 'OK'
        END AS status
    FROM views AS v
),
ranked AS (
    SELECT j.*, row_number() OVER (ORDER BY j.status, j.age DESC NULLS LAST) AS place, count(*) OVER () AS found
    FROM judged AS j
    WHERE j.status <> 'OK'
)
SELECT
    r.status, 'materialized view ' || r.oid::regclass AS object,
    CASE WHEN NOT r.relispopulated THEN 'never filled' WHEN r.age IS NOT NULL THEN date_trunc('second', r.age)::text END AS current_value,
    '< 2 hours' AS threshold,
    CASE WHEN r.status = 'SKIPPED' THEN 'not refreshed since refreshes are recorded'
        ELSE format('last refreshed %s', coalesce(r.refreshed_at::text, 'never')) END
        || CASE WHEN r.place = 1 AND r.found > 5 THEN format('; %s more', r.found - 5) ELSE '' END AS evidence,
    'What it shows is older than it should be: refresh it, and see why its job does not.' AS recommendation,
    format('REFRESH MATERIALIZED VIEW %s;', r.oid::regclass) AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.place <= 5
UNION ALL
SELECT 'OK', NULL, coalesce('oldest ' || date_trunc('second', max(j.age)), 'no materialized views'), '< 2 hours', NULL, 'Nothing to do.', NULL, 'now'
FROM judged AS j
HAVING NOT EXISTS (SELECT FROM ranked)
