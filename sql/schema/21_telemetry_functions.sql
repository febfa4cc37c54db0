-- The sketch aggregates. Their support functions take `internal`, so SQL cannot call them directly.
CREATE AGGREGATE crewsnow_ops.latency_sketch(numeric) (
    SFUNC = crewsnow_ops.latency_sketch_add, STYPE = internal, SSPACE = 4096,
    FINALFUNC = crewsnow_ops.latency_sketch_final,
        COMBINEFUNC = crewsnow_ops.latency_sketch_combine,
    SERIALFUNC = crewsnow_ops.latency_sketch_serialize,
        DESERIALFUNC = crewsnow_ops.latency_sketch_deserialize, PARALLEL = SAFE
);
CREATE AGGREGATE crewsnow_ops.merge_sketches(bytea) (
    SFUNC = crewsnow_ops.latency_sketch_merge, STYPE = internal, SSPACE = 4096,
    FINALFUNC = crewsnow_ops.latency_sketch_final,
        COMBINEFUNC = crewsnow_ops.latency_sketch_combine,
    SERIALFUNC = crewsnow_ops.latency_sketch_serialize,
        DESERIALFUNC = crewsnow_ops.latency_sketch_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE crewsnow_ops.latency_sketch(numeric) IS
    'Collects durations in milliseconds (0 to 24 hours, to the nanosecond; NULLs are skipped) in a '
    'few hundred bytes. sketch_quantile reads any quantile from it, within 1 %. A DDSketch: merged '
    'sketches equal, byte for byte, one sketch of all durations. Error 22023 for a duration out of '
    'range, NaN or infinite.';
COMMENT ON AGGREGATE crewsnow_ops.merge_sketches(bytea) IS
    'Merges sketches made by latency_sketch; NULLs are skipped. Error 22P03 for bytes that are not '
    'a sketch.';
COMMENT ON FUNCTION crewsnow_ops.sketch_quantile(bytea, double precision) IS
    'Quantile (0 to 1) of the durations in a sketch, in milliseconds, within 1 % of '
    'percentile_disc. NULL for an empty sketch. Errors: 22P03 bytes that are not a sketch, 22023 '
    'quantile outside 0 to 1.';
COMMENT ON FUNCTION crewsnow_ops.latency_sketch_add(internal, numeric) IS
    'Support function of the aggregate latency_sketch.';
COMMENT ON FUNCTION crewsnow_ops.latency_sketch_merge(internal, bytea) IS
    'Support function of the aggregate merge_sketches.';
COMMENT ON FUNCTION crewsnow_ops.latency_sketch_combine(internal, internal) IS
    'Support function of the sketch aggregates.';
COMMENT ON FUNCTION crewsnow_ops.latency_sketch_serialize(internal) IS
    'Support function of the sketch aggregates.';
COMMENT ON FUNCTION crewsnow_ops.latency_sketch_deserialize(bytea, internal) IS
    'Support function of the sketch aggregates.';
COMMENT ON FUNCTION crewsnow_ops.latency_sketch_final(internal) IS
    'Support function of the sketch aggregates.';

-- The runbook's views. Two functions are declared by hand, because they return materialized rows.
CREATE FUNCTION crewsnow_ops.edge_functions_now() RETURNS TABLE (
    function_name text, total_calls bigint, avg_execution_time numeric,
        p95_latency double precision, timeout_count bigint,
    last_call timestamptz, latency_status text, data_state text, window_start timestamptz,
        error_5xx_count bigint,
    max_execution_time numeric, calls_without_status bigint, calls_5m bigint,
        avg_execution_time_5m numeric, p95_latency_5m double precision, timeout_count_5m bigint,
    error_5xx_count_5m bigint, latency_status_5m text
) LANGUAGE c STABLE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME',
    'edge_functions_now_wrapper';
CREATE VIEW @extschema@.edge_functions_monitoring AS
SELECT v.function_name, v.total_calls, v.avg_execution_time, v.p95_latency, v.timeout_count,
    v.last_call, v.latency_status,
    v.data_state, v.window_start, v.error_5xx_count, v.max_execution_time, v.calls_without_status,
    v.calls_5m, v.avg_execution_time_5m, v.p95_latency_5m, v.timeout_count_5m,
    v.error_5xx_count_5m, v.latency_status_5m
FROM crewsnow_ops.edge_functions_now() AS v;
COMMENT ON VIEW @extschema@.edge_functions_monitoring IS
    'Calls of the last 60 complete minutes and the running one: one row per function with calls, '
    'slowest first. One row of zeros without calls. Times in milliseconds.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.function_name IS
    'Called function; (none) without calls.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.total_calls IS 'Number of calls.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.avg_execution_time IS
    'Mean execution time in ms, to the microsecond; 0 if none was measured.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.p95_latency IS
    '95th percentile in ms, within 1 %; with fewer than 20 calls, the slowest. NULL if none was '
    'measured.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.timeout_count IS
    'Number of calls longer than 5000 ms.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.last_call IS
    'Time of the latest call; NULL without calls.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.latency_status IS
    'CRITICAL: p95 > 5s, WARNING: p95 > 2s, or OK.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.data_state IS
    'DATA; NO_TIMINGS if no execution time was given; NO_DATA without calls.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.window_start IS 'Start of the window.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.error_5xx_count IS
    'Number of calls with a status_code that starts with 5.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.max_execution_time IS
    'Slowest call in ms, exact; NULL if none was measured.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.calls_without_status IS
    'Number of calls without a usable status_code: whether they failed is unknown.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.calls_5m IS
    'Number of calls in the last 5 complete minutes and the running one.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.avg_execution_time_5m IS
    'Their mean execution time in ms; 0 if none was measured.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.p95_latency_5m IS
    'Their 95th percentile in ms; NULL if none was measured.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.timeout_count_5m IS
    'Number of them longer than 5000 ms.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.error_5xx_count_5m IS
    'Number of them with a status_code that starts with 5.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.latency_status_5m IS
    'Status by p95_latency_5m, in the words of latency_status.';

CREATE FUNCTION crewsnow_ops.error_rates_now() RETURNS TABLE (
    function_name text, minute_bucket timestamptz, total_requests bigint, error_5xx_count bigint,
        error_rate_pct numeric, error_status text,
    data_state text, requests_without_status bigint, requests_5m bigint, error_5xx_count_5m bigint,
        error_rate_5m_pct numeric
) LANGUAGE c STABLE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME',
    'error_rates_now_wrapper';
CREATE VIEW @extschema@.error_rate_monitoring AS
SELECT v.function_name, v.minute_bucket, v.total_requests, v.error_5xx_count, v.error_rate_pct,
    v.error_status, v.data_state, v.requests_without_status, v.requests_5m, v.error_5xx_count_5m,
    v.error_rate_5m_pct
FROM crewsnow_ops.error_rates_now() AS v;
COMMENT ON VIEW @extschema@.error_rate_monitoring IS
    'Error rates of the last 10 complete minutes and the running one: one row per minute and '
    'function with calls in the window, latest first. One row of zeros without calls.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.function_name IS
    'Called function; (none) without calls.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.minute_bucket IS 'Start of the minute.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.total_requests IS
    'Number of calls in the minute.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.error_5xx_count IS
    'Number of calls with a status_code that starts with 5.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.error_rate_pct IS
    'Share of 5xx calls, in percent; 0 without calls, NULL if no call has a status code.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.error_status IS
    'ALERT: Error rate > 5% if more than 5 percent of more than 5 calls are 5xx. NO_STATUS_CODES '
    'if no call has a status code, or those without one could hide an alert. Otherwise OK.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.data_state IS
    'COMPLETE, PARTIAL (the running minute), NO_DATA (no call in the minute), or NO_STATUS_CODES.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.requests_without_status IS
    'Number of calls in the minute without a usable status_code.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.requests_5m IS
    'Number of calls of the function in the last 5 complete minutes and the running one.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.error_5xx_count_5m IS
    'Number of 5xx among them.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.error_rate_5m_pct IS
    'Share of 5xx among them, in percent; 0 without calls, NULL if none has a status code.';

CREATE VIEW @extschema@.stripe_webhook_monitoring AS
SELECT v.minute_bucket, v.total_events, v.failed_events, v.failure_rate_pct, v.webhook_status,
    v.data_state, v.waiting_events,
    v.oldest_waiting_since, v.last_event, v.events_5m, v.failed_events_5m, v.reversed_events
FROM crewsnow_ops.webhooks_now() AS v;
COMMENT ON VIEW @extschema@.stripe_webhook_monitoring IS
    'Webhooks of the last 10 complete minutes and the running one: one row per minute, latest '
    'first. webhook_status covers the whole window and is the same in each row.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.minute_bucket IS 'Start of the minute.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.total_events IS
    'Number of webhooks with processed_at in the minute.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.failed_events IS
    'Number of webhooks that we failed to process, and did not process since.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.failure_rate_pct IS
    'Share of failed webhooks, in percent; 0 without webhooks.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.webhook_status IS
    'ALERT: with its reason (more than 5 percent of the window failed, a backlog, silence), '
    'otherwise OK.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.data_state IS
    'COMPLETE, PARTIAL (the running minute), or NO_DATA (no webhook in the minute).';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.waiting_events IS
    'Number of webhooks received more than 5 minutes ago and not processed, of any minute; counted '
    'up to 10000.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.oldest_waiting_since IS
    'Arrival of the oldest of them; NULL if there is none.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.last_event IS
    'Last minute with a webhook, within 30 days; NULL if there is none.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.events_5m IS
    'Number of webhooks in the last 5 complete minutes and the running one.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.failed_events_5m IS
    'Number of failed webhooks among them.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.reversed_events IS
    'Number of processed webhooks whose status was set back in the window: see '
    'crewsnow_ops.webhook_reversals.';

CREATE VIEW crewsnow_ops.silent_functions AS
SELECT v.function_name, v.last_call, v.silent_minutes, v.usual_calls, v.status
FROM crewsnow_ops.silent_functions_now() AS v;
COMMENT ON VIEW crewsnow_ops.silent_functions IS
    'Functions that used to be called at this time of day, and are not called now. One row without '
    'a function if there is none. Reads counts that are rolled up.';
COMMENT ON COLUMN crewsnow_ops.silent_functions.function_name IS
    'Function, longest silence first; (none) if no function is silent.';
COMMENT ON COLUMN crewsnow_ops.silent_functions.last_call IS
    'Time of the latest call within 14 days.';
COMMENT ON COLUMN crewsnow_ops.silent_functions.silent_minutes IS 'Minutes since the latest call.';
COMMENT ON COLUMN crewsnow_ops.silent_functions.usual_calls IS
    'Lower quartile of the calls that the same time of the last 14 days brought, at most 4 hours '
    'of it; a minute counts as 2 calls at most.';
COMMENT ON COLUMN crewsnow_ops.silent_functions.status IS
    'ALERT: with the reason; OK; or NO_DATA with fewer than 5 days of calls.';

CREATE VIEW crewsnow_ops.dashboard AS
SELECT v.signal, v.status, v.value, v.threshold, v.last_60_minutes, v.note
FROM crewsnow_ops.dashboard_now() AS v;
COMMENT ON VIEW crewsnow_ops.dashboard IS
    'One row per signal: its status and the last 60 minutes. For psql''s \watch 5.';
COMMENT ON COLUMN crewsnow_ops.dashboard.signal IS
    'Performance, Error Rate, Webhooks, Security or Connections.';
COMMENT ON COLUMN crewsnow_ops.dashboard.status IS
    'Status in the words of the runbook''s dashboard statements.';
COMMENT ON COLUMN crewsnow_ops.dashboard.value IS
    'Performance: mean over functions of their mean execution time in the last hour. Error Rate: '
    'highest rate of a function and minute of the last ten. Webhooks: highest failure rate of a '
    'minute of the last ten. Security: requirements not met. Connections: client connections now.';
COMMENT ON COLUMN crewsnow_ops.dashboard.threshold IS 'Limit of a healthy value.';
COMMENT ON COLUMN crewsnow_ops.dashboard.last_60_minutes IS
    'Higher value of each two minutes, the running one last. A full block is the larger of the '
    'threshold and the highest value of the hour; a dot is two minutes without data.';
COMMENT ON COLUMN crewsnow_ops.dashboard.note IS
    'Object concerned, or the reason why no value is known, in lines of at most 32 columns.';

COMMENT ON FUNCTION crewsnow_ops.edge_functions_now() IS 'Rows of edge_functions_monitoring.';
COMMENT ON FUNCTION crewsnow_ops.error_rates_now() IS 'Rows of error_rate_monitoring.';
COMMENT ON FUNCTION crewsnow_ops.webhooks_now() IS 'Rows of stripe_webhook_monitoring.';
COMMENT ON FUNCTION crewsnow_ops.silent_functions_now() IS
    'Rows of crewsnow_ops.silent_functions.';
COMMENT ON FUNCTION crewsnow_ops.dashboard_now() IS 'Rows of crewsnow_ops.dashboard.';
COMMENT ON FUNCTION @extschema@.log_system_event(text, uuid, jsonb, numeric, text) IS
    'Writes an event to event_log and returns its id. A bad value never fails the caller: it is '
    'corrected, and the payload key crewsnow_ops_corrected holds what was given. Error: 25006 '
    'read-only.';
COMMENT ON FUNCTION @extschema@.log_system_event(text, uuid, jsonb, double precision, text) IS
    'The same for a duration in double precision.';
COMMENT ON FUNCTION @extschema@.log_system_event(text, uuid, text, numeric, text) IS
    'The same for a payload as text, which may escape a NUL character.';
COMMENT ON FUNCTION @extschema@.log_system_event(text, uuid, text, double precision, text) IS
    'The same for a payload as text and a duration in double precision.';
COMMENT ON FUNCTION @extschema@.log_system_event(text, uuid, json, double precision, text) IS
    'The same for a payload as json and a duration in double precision.';
COMMENT ON FUNCTION crewsnow_ops.record_edge_call(text, double precision, double precision, uuid,
    text, inet, text, anycompatible) IS
    'Writes a call of an Edge Function to event_log, with its HTTP status code in the payload, and '
    'returns the event id. Numbers may be of any type, the payload jsonb, json or text. A bad '
    'value is corrected, as by log_system_event; a status code outside 100 to 599 counts as none. '
    'Error: 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.record_stripe_webhook(text, text, boolean, text, anycompatible) IS
    'Records a webhook as processed (true), failed (false) or received and not processed yet '
    '(NULL). Returns the number of deliveries. Idempotent on Stripe''s id: a redelivery raises '
    'attempts, an outcome after received does not, and a processed webhook stays processed. The '
    'payload is jsonb, json or text. Errors: 22004 NULL id, 22023 empty or too long id, 25006 '
    'read-only.';
COMMENT ON FUNCTION crewsnow_ops.roll_up_events(integer) IS
    'Counts the tail, about p_max_rows events at most but whole transactions, and makes the '
    'partitions of the coming days. Returns the number of counted events and whether the tail is '
    'empty. Rollups only affect speed: events not rolled up are read directly. Call it every 10 to '
    '60 seconds; while another session rolls up it returns at once. Errors: 22023 p_max_rows below '
    '1, 25001 in a REPEATABLE READ or SERIALIZABLE transaction, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.apply_event_retention() IS
    'Drops events older than crewsnow_ops.event_retention (whole days, counted events only) and '
    'counts older than crewsnow_ops.rollup_retention. Drops nothing while an event of that age is '
    'not counted: call roll_up_events first. Writers wait 25 ms at most for the lock of a drop, '
    'which is tried again within 2 s; a day that is in use for longer is left for the next call. '
    'Call it daily. Errors: 25001 in a transaction block, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.rebuild_rollups() IS
    'Discards all counts and counts again from event_log and processed_events, except for days '
    'that retention dropped. Needed after rows arrived while triggers were disabled, and after a '
    'partition was attached, detached, truncated or dropped by hand. Writers of webhooks wait '
    'while they are counted. Errors as roll_up_events.';

-- A 2 s lock timeout: behind an ALTER TABLE the views fail with 55P03 instead of hanging.
ALTER FUNCTION crewsnow_ops.edge_functions_now() SET lock_timeout = '2s';
ALTER FUNCTION crewsnow_ops.error_rates_now() SET lock_timeout = '2s';
ALTER FUNCTION crewsnow_ops.webhooks_now() SET lock_timeout = '2s';
ALTER FUNCTION crewsnow_ops.silent_functions_now() SET lock_timeout = '2s';
ALTER FUNCTION crewsnow_ops.dashboard_now() SET lock_timeout = '2s';
-- Partitions are days in UTC, whatever the session's time zone.
ALTER FUNCTION crewsnow_ops.roll_up_events(integer) SET lock_timeout = '2s';
ALTER FUNCTION crewsnow_ops.roll_up_events(integer) SET "TimeZone" = 'UTC';
ALTER FUNCTION crewsnow_ops.roll_up_events(integer) SET "DateStyle" = 'ISO';
ALTER FUNCTION crewsnow_ops.rebuild_rollups() SET lock_timeout = '2s';
ALTER FUNCTION crewsnow_ops.rebuild_rollups() SET "TimeZone" = 'UTC';
-- Writers queue behind the lock that dropping a day waits for.
ALTER FUNCTION crewsnow_ops.apply_event_retention() SET lock_timeout = '200ms';

REVOKE ALL ON FUNCTION
    crewsnow_ops.edge_functions_now(), crewsnow_ops.error_rates_now(), crewsnow_ops.webhooks_now(),
        crewsnow_ops.dashboard_now(), crewsnow_ops.silent_functions_now(),
    @extschema@.log_system_event(text, uuid, jsonb, numeric, text),
    @extschema@.log_system_event(text, uuid, jsonb, double precision, text),
    @extschema@.log_system_event(text, uuid, text, numeric, text),
    @extschema@.log_system_event(text, uuid, text, double precision, text),
    @extschema@.log_system_event(text, uuid, json, double precision, text),
    crewsnow_ops.record_edge_call(text, double precision, double precision, uuid, text, inet, text,
        anycompatible),
    crewsnow_ops.record_stripe_webhook(text, text, boolean, text, anycompatible),
    crewsnow_ops.roll_up_events(integer), crewsnow_ops.apply_event_retention(),
        crewsnow_ops.rebuild_rollups(),
    crewsnow_ops.latency_sketch(numeric), crewsnow_ops.merge_sketches(bytea),
        crewsnow_ops.sketch_quantile(bytea, double precision),
    crewsnow_ops.latency_sketch_add(internal, numeric),
        crewsnow_ops.latency_sketch_merge(internal, bytea),
    crewsnow_ops.latency_sketch_combine(internal, internal),
        crewsnow_ops.latency_sketch_serialize(internal),
    crewsnow_ops.latency_sketch_deserialize(bytea, internal),
        crewsnow_ops.latency_sketch_final(internal)
    FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', '@extschema@.edge_functions_monitoring'),
    ('reader', 'SELECT', 'TABLE', '@extschema@.error_rate_monitoring'),
    ('reader', 'SELECT', 'TABLE', '@extschema@.stripe_webhook_monitoring'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.dashboard'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.silent_functions'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.silent_functions_now()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.edge_functions_now()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.error_rates_now()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.webhooks_now()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.dashboard_now()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.latency_sketch(numeric)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.merge_sketches(bytea)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.sketch_quantile(bytea, double precision)'),
    ('writer', 'EXECUTE', 'FUNCTION',
        '@extschema@.log_system_event(text, uuid, jsonb, numeric, text)'),
    ('writer', 'EXECUTE', 'FUNCTION',
        '@extschema@.log_system_event(text, uuid, jsonb, double precision, text)'),
    ('writer', 'EXECUTE', 'FUNCTION',
        '@extschema@.log_system_event(text, uuid, text, numeric, text)'),
    ('writer', 'EXECUTE', 'FUNCTION',
        '@extschema@.log_system_event(text, uuid, text, double precision, text)'),
    ('writer', 'EXECUTE', 'FUNCTION',
        '@extschema@.log_system_event(text, uuid, json, double precision, text)'),
    ('writer', 'USAGE', 'SCHEMA', 'crewsnow_ops'),
    ('writer', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.record_edge_call(text, double precision, double precision, uuid, text, '
        'inet, text, anycompatible)'),
    ('writer', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.record_stripe_webhook(text, text, boolean, text, anycompatible)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.roll_up_events(integer)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.apply_event_retention()'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.rebuild_rollups()');
