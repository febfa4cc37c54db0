-- $1 minutes, $2 function names, $3 calls, $4 errors, $5 over 5 s, $6 last calls, $7 sketches,
-- $8 without status
INSERT INTO crewsnow_ops.event_rollups AS r (minute, function_name, calls, errors_5xx, over_5s,
    last_call, latency, without_status)
SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (minute, function_name) DO UPDATE SET
    calls = excluded.calls, errors_5xx = excluded.errors_5xx, over_5s = excluded.over_5s,
        last_call = excluded.last_call,
    latency = excluded.latency, without_status = excluded.without_status
