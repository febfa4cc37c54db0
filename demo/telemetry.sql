-- Copies the hour of operations into event_log and processed_events, as the edge functions and the
-- webhook would have written it. Load it right after data.sql, because the views cover the last
-- hour. Without the extension it does nothing.
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'crewsnow_ops') AS is_installed \gset
\if :is_installed

BEGIN;
INSERT INTO event_log (event_type, function_name, endpoint, user_id, execution_time_ms, payload,
    created_at)
SELECT 'edge_function_call', function_name, endpoint, user_id, execution_time_ms,
    jsonb_build_object('status_code', status_code), created_at
FROM public.edge_function_calls
ORDER BY created_at, id;

-- In processed_events, processed_at is the end of the last attempt, even of a failed one, or the
-- arrival if there was none. stripe_events has no time of failed attempts: one second after the
-- arrival is assumed.
INSERT INTO processed_events (event_id, event_type, processed_at, status, error_message, attempts,
    received_at, payload)
SELECT
    event_id,
    event_type,
    CASE status WHEN 'failed' THEN least(received_at + interval '1 second', now())
        ELSE coalesce(processed_at, received_at) END,
    status, error_message, attempts, received_at, payload
FROM public.stripe_events
ORDER BY received_at, event_id;
COMMIT;

SELECT crewsnow_ops.roll_up_events() \g /dev/null
ANALYZE event_log, processed_events;
\endif
