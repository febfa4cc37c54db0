-- The hour of operations once more, as the monitoring of crewsnow_ops wants it: what the edge functions and the webhook would have
-- written there. After data.sql, soon, because the views look at the last hour. Does nothing without the extension.
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'crewsnow_ops') AS is_installed \gset
\if :is_installed

BEGIN;
INSERT INTO event_log (event_type, function_name, endpoint, user_id, execution_time_ms, payload, created_at)
SELECT 'edge_function_call', function_name, endpoint, user_id, execution_time_ms, jsonb_build_object('status_code', status_code), created_at
FROM public.edge_function_calls
ORDER BY created_at, id;

-- There processed_at is the end of the last attempt, also of a failed one, and the arrival while there was none. We do not know when
-- attempts failed: a second after the arrival.
INSERT INTO processed_events (event_id, event_type, processed_at, status, error_message, attempts, received_at, payload)
SELECT
    event_id,
    event_type,
    CASE status WHEN 'failed' THEN least(received_at + interval '1 second', now()) ELSE coalesce(processed_at, received_at) END,
    status, error_message, attempts, received_at, payload
FROM public.stripe_events
ORDER BY received_at, event_id;
COMMIT;

SELECT crewsnow_ops.roll_up_events() \g /dev/null
ANALYZE event_log, processed_events;
\endif
