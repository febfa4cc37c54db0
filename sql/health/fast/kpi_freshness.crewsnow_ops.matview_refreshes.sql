-- Limits: one and a half times the usual interval of the view, at least 2 hours (contract); or the
-- max_age of its comment. Critical twelve times that (ours), only for a view whose interval is
-- known: no user misses a report that was never refreshed again. An event trigger records each
-- REFRESH, with or without CONCURRENTLY, in matview_refreshes.
WITH
views AS (
    SELECT c.oid, c.relispopulated, r.refreshed_at, statement_timestamp() - r.refreshed_at AS age,
        coalesce(cardinality(r.intervals), 0) AS intervals,
        (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY i.passed)
            FROM unnest(r.intervals) AS i (passed)) AS usual,
        substring(obj_description(c.oid, 'pg_class') FROM
            'max_age\s*[:=]\s*(\d{1,6}\s*(?:second|minute|hour|day|week|month|year)s?)')::interval
            AS max_age
    -- Through pg_rewrite: pg_class may be large and has no index on relkind.
    FROM pg_rewrite AS w
    JOIN pg_class AS c ON c.oid = w.ev_class AND c.relkind = 'm'
    LEFT JOIN crewsnow_ops.matview_refreshes AS r ON r.relid = c.oid
    WHERE w.rulename = '_RETURN'
),
limited AS (
    SELECT v.*, coalesce(v.max_age,
            greatest(interval '@kpi_freshness.warning@ hours', 1.5 * v.usual)) AS max
    FROM views AS v
),
judged AS (
    SELECT v.*,
        CASE WHEN NOT v.relispopulated THEN 'WARNING'
            WHEN v.age >= 12 * v.max AND (v.max_age IS NOT NULL OR v.intervals >= 3) THEN 'CRITICAL'
            WHEN v.age >= v.max THEN 'WARNING'
            WHEN v.age IS NULL THEN 'SKIPPED'
            ELSE 'OK'
        END AS status
    FROM limited AS v
),
ranked AS (
    SELECT j.*, row_number() OVER (ORDER BY array_position(ARRAY['CRITICAL', 'WARNING'], j.status),
            j.relispopulated, j.age / extract(epoch FROM j.max) DESC NULLS LAST) AS rank,
        count(*) OVER () AS total
    FROM judged AS j
    WHERE j.status <> 'OK'
)
SELECT
    r.status, 'materialized view ' || r.oid::regclass AS object,
    CASE WHEN NOT r.relispopulated THEN 'never filled'
        WHEN r.age IS NOT NULL THEN date_trunc('second', r.age)::text END AS current_value,
    '< ' || CASE WHEN r.max = interval '@kpi_freshness.warning@ hours'
        THEN '@kpi_freshness.warning@ hours' ELSE date_trunc('minute', r.max)::text END
            AS threshold,
    CASE WHEN r.status = 'SKIPPED' THEN 'no refresh is recorded, so its age is unknown'
        WHEN NOT r.relispopulated THEN 'queries on it fail'
        ELSE format('last refreshed %s; %s', r.refreshed_at,
            CASE WHEN r.max_age IS NOT NULL THEN 'max_age of its comment: ' || r.max_age
                WHEN r.usual IS NOT NULL
                    THEN 'usual interval ' || date_trunc('second', r.usual)
                ELSE 'its usual interval is not known yet' END) END
        || CASE WHEN r.rank = 1 AND r.total > 5 THEN format('; %s more', r.total - 5) ELSE '' END
            AS evidence,
    CASE WHEN r.status = 'SKIPPED' THEN 'Refresh the view once: the extension records refreshes.'
        ELSE 'The data of the view is too old: refresh it, and find out why its job did not. For a '
            'view that may be older, write max_age: 32 days into its comment.'
    END AS recommendation,
    format('REFRESH MATERIALIZED VIEW %s;', r.oid::regclass) AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, coalesce('oldest ' || date_trunc('second', max(j.age)), 'no materialized views'),
    '< @kpi_freshness.warning@ hours', NULL, 'Nothing to do.', NULL, 'now'
FROM judged AS j
HAVING NOT EXISTS (SELECT FROM ranked)
