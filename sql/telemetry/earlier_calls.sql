-- $1 now, $2 functions called lately, $3 their latest calls, $4 end of silence, $5 start of the
-- compared part of a day, $6 days. Calls of earlier days since the same clock time as the latest
-- call, for functions that are silent.
SELECT e.function_name, d.day, sum(least(e.calls, 2))::bigint, max(e.last_call)
FROM generate_series(1, $6) AS d (day)
CROSS JOIN LATERAL (SELECT d.day * interval '24 hours' AS ago) AS a
CROSS JOIN LATERAL (
    SELECT r.function_name, r.minute, r.calls, r.last_call
    FROM crewsnow_ops.event_rollups AS r
    WHERE r.minute > $5 - a.ago AND r.minute <= $1 - a.ago
) AS e
LEFT JOIN unnest($2, $3) AS l (function_name, last_call)
    ON l.function_name COLLATE "C" = e.function_name
WHERE (l.last_call IS NULL OR l.last_call < $4)
    AND e.minute > coalesce(l.last_call, $5) - a.ago
GROUP BY e.function_name, d.day
