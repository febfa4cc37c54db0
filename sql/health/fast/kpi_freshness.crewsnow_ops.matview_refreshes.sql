-- Limits: 2 hours (contract), critical 24 hours (ours). An event trigger records each REFRESH, with
-- or without CONCURRENTLY, in matview_refreshes.
WITH
views AS (
    SELECT c.oid, c.relispopulated, r.refreshed_at, statement_timestamp() - r.refreshed_at AS age
    -- Through pg_rewrite: pg_class may be large and has no index on relkind.
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
    SELECT j.*, row_number() OVER (ORDER BY j.status, j.age DESC NULLS LAST) AS rank,
        count(*) OVER () AS total
    FROM judged AS j
    WHERE j.status <> 'OK'
)
SELECT
    r.status, 'materialized view ' || r.oid::regclass AS object,
    CASE WHEN NOT r.relispopulated THEN 'never filled'
        WHEN r.age IS NOT NULL THEN date_trunc('second', r.age)::text END AS current_value,
    '< 2 hours' AS threshold,
    CASE WHEN r.status = 'SKIPPED' THEN 'no refresh is recorded, so its age is unknown'
        ELSE format('last refreshed %s', coalesce(r.refreshed_at::text, 'never')) END
        || CASE WHEN r.rank = 1 AND r.total > 5 THEN format('; %s more', r.total - 5) ELSE '' END
            AS evidence,
    CASE WHEN r.status = 'SKIPPED' THEN 'Refresh the view once: the extension records refreshes.'
        ELSE 'The data of the view is too old: refresh it, and find out why its job did not.'
    END AS recommendation,
    format('REFRESH MATERIALIZED VIEW %s;', r.oid::regclass) AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, coalesce('oldest ' || date_trunc('second', max(j.age)), 'no materialized views'),
    '< 2 hours', NULL, 'Nothing to do.', NULL, 'now'
FROM judged AS j
HAVING NOT EXISTS (SELECT FROM ranked)
