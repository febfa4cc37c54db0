-- Fallback without a readable crewsnow_ops.matview_refreshes.
-- Limit: 2 hours (contract). Never critical: the usual interval of the view is unknown here.
-- PostgreSQL keeps no time of a refresh.
-- Known are views that were never filled and, with track_commit_timestamp, the last change of the
-- view's pg_class row. Every REFRESH changes that row, but so do GRANT and ALTER. The last refresh
-- was not later than that change: an old one proves a stale view, a recent one proves nothing.
WITH
views AS (
    SELECT c.oid, c.relispopulated,
        CASE WHEN current_setting('track_commit_timestamp') = 'on'
            THEN pg_xact_commit_timestamp(c.xmin) END AS not_after
    -- Through pg_rewrite: pg_class may be large and has no index on relkind.
    FROM pg_rewrite AS w
    JOIN pg_class AS c ON c.oid = w.ev_class AND c.relkind = 'm'
    WHERE w.rulename = '_RETURN'
),
judged AS (
    SELECT v.*, statement_timestamp() - v.not_after AS age,
        CASE WHEN NOT v.relispopulated OR v.not_after < statement_timestamp()
                - interval '@kpi_freshness.warning@ hours' THEN 'WARNING'
            ELSE 'SKIPPED'
        END AS status
    FROM views AS v
),
ranked AS (
    SELECT j.*, row_number() OVER (ORDER BY j.status, j.not_after) AS rank,
        count(*) OVER () AS total
    FROM judged AS j
    WHERE j.status <> 'SKIPPED'
),
unknown AS (
    SELECT count(*) AS views, max(j.not_after) AS latest FROM judged AS j WHERE j.status = 'SKIPPED'
)
SELECT
    r.status, 'materialized view ' || r.oid::regclass AS object,
    CASE WHEN r.relispopulated THEN 'at least ' || date_trunc('second', r.age)
        ELSE 'never filled' END AS current_value, '< @kpi_freshness.warning@ hours' AS threshold,
    CASE WHEN r.relispopulated THEN format('not refreshed after %s', r.not_after)
        ELSE 'queries on it fail' END
        || CASE WHEN r.rank = 1 AND r.total > 5 THEN format('; %s more', r.total - 5) ELSE '' END
            AS evidence,
    'The data of the view is too old: refresh it, and find out why its job did not.'
        AS recommendation,
    format('REFRESH MATERIALIZED VIEW %s;', r.oid::regclass) AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'SKIPPED', NULL, NULL, '< @kpi_freshness.warning@ hours',
    format('the age of %s materialized views is unknown: PostgreSQL does not record refreshes, and '
        'crewsnow_ops.matview_refreshes cannot be read',
        u.views)
        || coalesce('; the latest refresh, GRANT or ALTER was at ' || u.latest, ''),
    'Make crewsnow_ops.matview_refreshes readable: it records refreshes.', NULL, 'now'
FROM unknown AS u
WHERE u.views > 0
UNION ALL
SELECT 'OK', NULL, 'no materialized views', '< @kpi_freshness.warning@ hours', NULL,
    'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM views)
