-- The sketch as SQL aggregates. Their parts take `internal`, so nothing but the aggregate can call them.
CREATE AGGREGATE crewsnow_ops.latency_sketch(numeric) (
    SFUNC = crewsnow_ops.latency_sketch_add, STYPE = internal, SSPACE = 4096,
    FINALFUNC = crewsnow_ops.latency_sketch_final, COMBINEFUNC = crewsnow_ops.latency_sketch_combine,
    SERIALFUNC = crewsnow_ops.latency_sketch_serialize, DESERIALFUNC = crewsnow_ops.latency_sketch_deserialize, PARALLEL = SAFE
);
CREATE AGGREGATE crewsnow_ops.merge_sketches(bytea) (
    SFUNC = crewsnow_ops.latency_sketch_merge, STYPE = internal, SSPACE = 4096,
    FINALFUNC = crewsnow_ops.latency_sketch_final, COMBINEFUNC = crewsnow_ops.latency_sketch_combine,
    SERIALFUNC = crewsnow_ops.latency_sketch_serialize, DESERIALFUNC = crewsnow_ops.latency_sketch_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE crewsnow_ops.latency_sketch(numeric) IS
'Sums up durations in milliseconds (0 to 24 hours, kept to the nanosecond; NULLs are left out) in a few hundred bytes, from which sketch_quantile reads any quantile within 1 %. A DDSketch: merging sketches gives the bytes that all durations at once would have given. Error 22023 for a duration outside the range, NaN or infinite.';
COMMENT ON AGGREGATE crewsnow_ops.merge_sketches(bytea) IS
'Merges sketches made by latency_sketch; NULLs are left out. Error 22P03 for bytes that are not a sketch.';
COMMENT ON FUNCTION crewsnow_ops.sketch_quantile(bytea, double precision) IS
'The quantile, 0 to 1, of the durations in a sketch, in milliseconds: within 1 % of what percentile_disc gives. NULL for an empty sketch. Errors: 22P03 for bytes that are not a sketch, 22023 for a quantile outside 0 to 1.';
COMMENT ON FUNCTION crewsnow_ops.latency_sketch_add(internal, numeric) IS 'Part of the aggregate latency_sketch.';
COMMENT ON FUNCTION crewsnow_ops.latency_sketch_merge(internal, bytea) IS 'Part of the aggregate merge_sketches.';
COMMENT ON FUNCTION crewsnow_ops.latency_sketch_combine(internal, internal) IS 'Part of the sketch aggregates.';
COMMENT ON FUNCTION crewsnow_ops.latency_sketch_serialize(internal) IS 'Part of the sketch aggregates.';
COMMENT ON FUNCTION crewsnow_ops.latency_sketch_deserialize(bytea, internal) IS 'Part of the sketch aggregates.';
COMMENT ON FUNCTION crewsnow_ops.latency_sketch_final(internal) IS 'Part of the sketch aggregates.';

-- What the runbook opens. Two functions by hand, because their rows are returned at once.
CREATE FUNCTION crewsnow_ops.edge_functions_now() RETURNS TABLE (
    function_name text, total_calls bigint, avg_execution_time numeric, p95_latency double precision, timeout_count bigint,
    last_call timestamptz, latency_status text, data_state text, window_start timestamptz, error_5xx_count bigint,
    max_execution_time numeric
) LANGUAGE c STABLE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'edge_functions_now_wrapper';
CREATE VIEW @extschema@.edge_functions_monitoring AS
SELECT v.function_name, v.total_calls, v.avg_execution_time, v.p95_latency, v.timeout_count, v.last_call, v.latency_status,
    v.data_state, v.window_start, v.error_5xx_count, v.max_execution_time
FROM crewsnow_ops.edge_functions_now() AS v;
COMMENT ON VIEW @extschema@.edge_functions_monitoring IS 'The last 60 complete minutes and the running one, a row a function with calls, the slowest first; one row of zeros when there were none. Milliseconds.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.function_name IS 'The function; (none) when there was no call.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.total_calls IS 'Events with this function_name.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.avg_execution_time IS 'Their mean execution time in ms, to the microsecond; 0 when none was measured.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.p95_latency IS 'The 95th percentile in ms, within 1 %; of fewer than 20 calls it is the slowest. NULL when none was measured.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.timeout_count IS 'Calls that took longer than 5000 ms.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.last_call IS 'The latest call.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.latency_status IS 'CRITICAL: p95 > 5s, WARNING: p95 > 2s, or OK.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.data_state IS 'DATA; NO_TIMINGS when no execution time was given; NO_DATA when there was no call.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.window_start IS 'The first minute looked at.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.error_5xx_count IS 'Calls with a status code that starts with 5.';
COMMENT ON COLUMN @extschema@.edge_functions_monitoring.max_execution_time IS 'The slowest call in ms, exactly.';

CREATE FUNCTION crewsnow_ops.error_rates_now() RETURNS TABLE (
    function_name text, minute_bucket timestamptz, total_requests bigint, error_5xx_count bigint, error_rate_pct numeric, error_status text,
    data_state text
) LANGUAGE c STABLE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'error_rates_now_wrapper';
CREATE VIEW @extschema@.error_rate_monitoring AS
SELECT v.function_name, v.minute_bucket, v.total_requests, v.error_5xx_count, v.error_rate_pct, v.error_status, v.data_state
FROM crewsnow_ops.error_rates_now() AS v;
COMMENT ON VIEW @extschema@.error_rate_monitoring IS 'The last 10 complete minutes and the running one, a row a minute and function that was called in them, the latest first; one row of zeros when none was.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.function_name IS 'The function; (none) when there was no call.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.minute_bucket IS 'The beginning of the minute, which ends before the next.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.total_requests IS 'Calls in the minute.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.error_5xx_count IS 'Those with a status code that starts with 5.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.error_rate_pct IS 'Their share in percent; 0 without calls.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.error_status IS 'ALERT: Error rate > 5% above 5 percent of more than 5 calls, else OK.';
COMMENT ON COLUMN @extschema@.error_rate_monitoring.data_state IS 'COMPLETE, PARTIAL (the running minute), or NO_DATA (no call in it).';

CREATE VIEW @extschema@.stripe_webhook_monitoring AS
SELECT v.minute_bucket, v.total_events, v.failed_events, v.failure_rate_pct, v.webhook_status, v.data_state, v.waiting_events,
    v.oldest_waiting_since, v.last_event
FROM crewsnow_ops.webhooks_now() AS v;
COMMENT ON VIEW @extschema@.stripe_webhook_monitoring IS 'The last 10 complete minutes and the running one, a row a minute, the latest first. webhook_status is of the whole window and the same in each row.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.minute_bucket IS 'The beginning of the minute, which ends before the next.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.total_events IS 'Webhooks whose processed_at lies in the minute.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.failed_events IS 'Those that we failed to process.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.failure_rate_pct IS 'Their share in percent; 0 without webhooks.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.webhook_status IS 'ALERT: with its reason (more than 5 percent of the window failed, a backlog, silence), else OK.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.data_state IS 'COMPLETE, PARTIAL (the running minute), or NO_DATA (no webhook in it).';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.waiting_events IS 'Webhooks received more than 5 minutes ago and not processed, in any minute; counted up to 10000.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.oldest_waiting_since IS 'Since when the oldest of them waits.';
COMMENT ON COLUMN @extschema@.stripe_webhook_monitoring.last_event IS 'The last minute with a webhook within the last 7 days.';

CREATE VIEW crewsnow_ops.dashboard AS
SELECT v.signal, v.status, v.value, v.threshold, v.last_60_minutes, v.note
FROM crewsnow_ops.dashboard_now() AS v;
COMMENT ON VIEW crewsnow_ops.dashboard IS 'A row a signal: how it stands, and the last 60 minutes at a glance. For psql''s \watch 5.';
COMMENT ON COLUMN crewsnow_ops.dashboard.signal IS 'Performance, Error Rate, Webhooks, Security, Connections.';
COMMENT ON COLUMN crewsnow_ops.dashboard.status IS 'As the runbook''s dashboard statements say it.';
COMMENT ON COLUMN crewsnow_ops.dashboard.value IS 'What was measured: mean of the functions'' mean execution times of the hour; the highest error rate of a function and minute, the highest failure rate of a minute, both of the last ten; connections now.';
COMMENT ON COLUMN crewsnow_ops.dashboard.threshold IS 'Where it stops being well.';
COMMENT ON COLUMN crewsnow_ops.dashboard.last_60_minutes IS 'The same by the minute, the running one last; a full block is the threshold or the highest of the hour, whichever is more, a dot is a minute without data.';
COMMENT ON COLUMN crewsnow_ops.dashboard.note IS 'What is wrong where, or why nothing is known.';

COMMENT ON FUNCTION crewsnow_ops.edge_functions_now() IS 'What edge_functions_monitoring shows.';
COMMENT ON FUNCTION crewsnow_ops.error_rates_now() IS 'What error_rate_monitoring shows.';
COMMENT ON FUNCTION crewsnow_ops.webhooks_now() IS 'What stripe_webhook_monitoring shows.';
COMMENT ON FUNCTION crewsnow_ops.dashboard_now() IS 'What crewsnow_ops.dashboard shows.';
COMMENT ON FUNCTION @extschema@.log_system_event(text, uuid, jsonb, numeric, text) IS
'Writes an event to event_log and returns its id. Errors: 22004 NULL type, 22023 empty or too long type or name, payload that is no object or above 256 kB, execution time that is negative, NaN, infinite or above 24 hours; 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.record_edge_call(text, numeric, integer, uuid, text, inet, text, jsonb) IS
'Writes the call of an Edge Function to event_log, with its HTTP status code in the payload, and returns its id. Errors as log_system_event, and 22023 for a status code outside 100 to 599.';
COMMENT ON FUNCTION crewsnow_ops.record_stripe_webhook(text, text, boolean, text, jsonb) IS
'Records that a webhook was processed (true), failed (false) or received and not processed yet (NULL), and returns how often it has been delivered. Idempotent on Stripe''s id: a redelivery raises attempts, an outcome after received does not; what was processed stays processed. Errors: 22004 NULL id or type, 22023 empty or too long ones; 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.roll_up_events(integer) IS
'Counts what has not been counted yet, about p_max_rows events at most but whole transactions, and makes the partitions of the coming days. Returns how many events were counted and whether that was all. Never needed for correctness: what is not counted is read from the events. Call it every 10 to 60 seconds, from anywhere; while another session rolls up it returns at once. Errors: 22023 p_max_rows below 1, 25001 in a REPEATABLE READ or SERIALIZABLE transaction, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.apply_event_retention() IS
'Drops what is older than crewsnow_ops.event_retention (events, whole days, only what has been counted) and crewsnow_ops.rollup_retention (counts). Nothing is dropped while something that old is not counted: roll_up_events first. Makes writers wait 0.2 s at most: a day that is in use for longer is left for the next call. Call it daily. Errors: 25001 in a transaction block or above READ COMMITTED, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.rebuild_rollups() IS
'Forgets all counts and counts again from event_log and processed_events, but for the days that retention has dropped. For rows that arrived while triggers were disabled, and after a partition was attached, detached, truncated or dropped by hand. Writers of webhooks wait while they are counted. Errors as roll_up_events.';

-- Who looks during an incident waits for nobody's ALTER TABLE: rather an error than a screen that hangs.
ALTER FUNCTION crewsnow_ops.edge_functions_now() SET lock_timeout = '2s';
ALTER FUNCTION crewsnow_ops.error_rates_now() SET lock_timeout = '2s';
ALTER FUNCTION crewsnow_ops.webhooks_now() SET lock_timeout = '2s';
ALTER FUNCTION crewsnow_ops.dashboard_now() SET lock_timeout = '2s';
-- Days are UTC's, whatever the caller's.
ALTER FUNCTION crewsnow_ops.roll_up_events(integer) SET lock_timeout = '2s';
ALTER FUNCTION crewsnow_ops.roll_up_events(integer) SET "TimeZone" = 'UTC';
ALTER FUNCTION crewsnow_ops.roll_up_events(integer) SET "DateStyle" = 'ISO';
ALTER FUNCTION crewsnow_ops.rebuild_rollups() SET lock_timeout = '2s';
ALTER FUNCTION crewsnow_ops.rebuild_rollups() SET "TimeZone" = 'UTC';
-- While it waits for the lock that dropping a day takes, writers wait behind it.
ALTER FUNCTION crewsnow_ops.apply_event_retention() SET lock_timeout = '200ms';

REVOKE ALL ON FUNCTION
    crewsnow_ops.edge_functions_now(), crewsnow_ops.error_rates_now(), crewsnow_ops.webhooks_now(), crewsnow_ops.dashboard_now(),
    @extschema@.log_system_event(text, uuid, jsonb, numeric, text),
    crewsnow_ops.record_edge_call(text, numeric, integer, uuid, text, inet, text, jsonb),
    crewsnow_ops.record_stripe_webhook(text, text, boolean, text, jsonb),
    crewsnow_ops.roll_up_events(integer), crewsnow_ops.apply_event_retention(), crewsnow_ops.rebuild_rollups(),
    crewsnow_ops.latency_sketch(numeric), crewsnow_ops.merge_sketches(bytea), crewsnow_ops.sketch_quantile(bytea, double precision),
    crewsnow_ops.latency_sketch_add(internal, numeric), crewsnow_ops.latency_sketch_merge(internal, bytea),
    crewsnow_ops.latency_sketch_combine(internal, internal), crewsnow_ops.latency_sketch_serialize(internal),
    crewsnow_ops.latency_sketch_deserialize(bytea, internal), crewsnow_ops.latency_sketch_final(internal)
    FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', '@extschema@.edge_functions_monitoring'),
    ('reader', 'SELECT', 'TABLE', '@extschema@.error_rate_monitoring'),
    ('reader', 'SELECT', 'TABLE', '@extschema@.stripe_webhook_monitoring'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.dashboard'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.edge_functions_now()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.error_rates_now()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.webhooks_now()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.dashboard_now()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.latency_sketch(numeric)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.merge_sketches(bytea)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.sketch_quantile(bytea, double precision)'),
    ('writer', 'EXECUTE', 'FUNCTION', '@extschema@.log_system_event(text, uuid, jsonb, numeric, text)'),
    ('writer', 'USAGE', 'SCHEMA', 'crewsnow_ops'),
    ('writer', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.record_edge_call(text, numeric, integer, uuid, text, inet, text, jsonb)'),
    ('writer', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.record_stripe_webhook(text, text, boolean, text, jsonb)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.roll_up_events(integer)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.apply_event_retention()'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.rebuild_rollups()');
