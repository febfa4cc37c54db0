-- Fallback without pg_stat_statements: only running statements count.
-- Limits: 10 statements over 1 s (contract), critical 30 (ours).
WITH
running AS (
    SELECT s.application_name, s.query, statement_timestamp() - s.query_start AS age
    FROM pg_stat_activity AS s
    WHERE s.state = 'active' AND s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
        AND s.query_start < statement_timestamp() - interval '1 s'
),
slow AS (
    SELECT count(*) AS running, max(r.age) AS longest,
        pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all
    FROM running AS r
)
SELECT
    CASE WHEN NOT s.sees_all THEN 'SKIPPED'
        WHEN s.running >= @slow_queries.critical@ THEN 'CRITICAL'
        WHEN s.running >= @slow_queries.warning@ THEN 'WARNING' ELSE 'OK' END AS status,
    NULL::text AS object, CASE WHEN s.sees_all THEN s.running || ' running' END AS current_value,
    '< @slow_queries.warning@' AS threshold,
    CASE WHEN s.sees_all
        THEN format('without pg_stat_statements only running statements count; longest %s',
                coalesce(date_trunc('second', s.longest)::text, '-'))
            || CASE WHEN s.running >= @slow_queries.warning@ THEN (
                SELECT format(E'; most, %s, from application %s\nquery: %s', count(*),
                    coalesce(nullif(r.application_name, ''), '(none)'), left(min(r.query), 300))
                FROM running AS r
                GROUP BY r.application_name ORDER BY count(*) DESC LIMIT 1) ELSE '' END
        ELSE 'other users'' statements are hidden from this role' END AS evidence,
    CASE WHEN NOT s.sees_all THEN 'Grant pg_monitor to this role.'
        WHEN s.running >= @slow_queries.warning@ THEN 'Users wait: find the slow statements.'
        ELSE 'Nothing to do.' END AS recommendation,
    CASE WHEN NOT s.sees_all THEN format('GRANT pg_monitor TO %I;', current_user)
        WHEN s.running >= @slow_queries.warning@ THEN 'SELECT * FROM analyze_slow_queries();' END
            AS next_command,
    'now' AS since
FROM slow AS s
