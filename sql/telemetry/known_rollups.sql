-- $1 minutes, $2 function names
SELECT r.minute, r.function_name, r.calls, r.errors_5xx, r.over_5s, r.last_call, r.latency,
    r.without_status
FROM unnest($1, $2) AS n (minute, function_name)
JOIN crewsnow_ops.event_rollups AS r ON r.minute = n.minute
    AND r.function_name = n.function_name COLLATE "C"
