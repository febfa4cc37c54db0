-- Rows of connection_monitoring. The query of an active session lasts until now, that of an idle
-- session lasted until state_change: query_start alone is no duration. The caller's own session
-- counts. A state that the caller may not see is '(hidden)', never left out.
SELECT
    coalesce(s.state, '(hidden)') AS state,
    count(*) AS connection_count,
    min(s.query_start) AS oldest_query_start,
    round(avg(
        CASE WHEN s.state IN ('active', 'fastpath function call')
            THEN extract(epoch FROM greatest(clock_timestamp() - s.query_start, interval '0'))
            ELSE extract(epoch FROM greatest(s.state_change - s.query_start, interval '0')) END
    ), 3) AS avg_query_duration_seconds
FROM pg_stat_activity AS s
WHERE coalesce(s.backend_type, 'client backend') = 'client backend' AND s.usesysid IS NOT NULL
GROUP BY 1
ORDER BY 2 DESC, 1
