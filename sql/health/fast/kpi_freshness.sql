-- Limits: 2 hours (the contract), critical from 24 (ours). PostgreSQL keeps no time of a refresh. What is known: a view that was never filled;
-- and, with track_commit_timestamp, when its pg_class row changed last: every REFRESH changes it, CONCURRENTLY or not, but so do GRANT and
-- ALTER. So it was not refreshed after that time: an old one proves staleness, a young one proves nothing.
WITH
views AS (
    SELECT c.oid, c.relispopulated,
        CASE WHEN current_setting('track_commit_timestamp') = 'on' THEN pg_xact_commit_timestamp(c.xmin) END AS not_after
    -- By their rules: pg_class may be large, and has no index on relkind.
    FROM pg_rewrite AS w
    JOIN pg_class AS c ON c.oid = w.ev_class AND c.relkind = 'm'
    WHERE w.rulename = '_RETURN'
),
judged AS (
    SELECT v.*, statement_timestamp() - v.not_after AS age,
        CASE WHEN NOT v.relispopulated OR v.not_after < statement_timestamp() - interval '24 hours' THEN 'CRITICAL'
            WHEN v.not_after < statement_timestamp() - interval '2 hours' THEN 'WARNING'
            ELSE 'SKIPPED'
        END AS status
    FROM views AS v
),
ranked AS (
    SELECT j.*, row_number() OVER (ORDER BY j.status, j.not_after) AS place, count(*) OVER () AS found FROM judged AS j WHERE j.status <> 'SKIPPED'
),
unknown AS (
    SELECT count(*) AS views, max(j.not_after) AS latest FROM judged AS j WHERE j.status = 'SKIPPED'
)
SELECT
    r.status, 'materialized view ' || r.oid::regclass AS object,
    CASE WHEN r.relispopulated THEN 'at least ' || date_trunc('second', r.age) ELSE 'never filled' END AS current_value, '< 2 hours' AS threshold,
    CASE WHEN r.relispopulated THEN format('not refreshed after %s', r.not_after) ELSE 'queries on it fail' END
        || CASE WHEN r.place = 1 AND r.found > 5 THEN format('; %s more', r.found - 5) ELSE '' END AS evidence,
    'What it shows is older than it should be: refresh it, and see why its job does not.' AS recommendation,
    format('REFRESH MATERIALIZED VIEW %s;', r.oid::regclass) AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.place <= 5
UNION ALL
SELECT 'SKIPPED', NULL, NULL, '< 2 hours',
    format('of %s materialized views nothing is known: PostgreSQL does not record refreshes, and crewsnow_ops.matview_refreshes does not exist',
        u.views)
        || coalesce('; the latest refresh, GRANT or ALTER was at ' || u.latest, ''),
    'From now on refreshes must be recorded.', NULL, 'now'
FROM unknown AS u
WHERE u.views > 0
UNION ALL
SELECT 'OK', NULL, 'no materialized views', '< 2 hours', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM views)
