-- Bad input gets a clear error or a documented treatment (telemetry_calls.sql has those of events).
-- It falsifies no count.
CREATE EXTENSION crewsnow_ops;
SELECT crewsnow_ops.record_stripe_webhook(NULL, 'x');
SELECT crewsnow_ops.record_stripe_webhook('', 'x');
SELECT crewsnow_ops.record_stripe_webhook(repeat('e', 256), 'x');
\echo :LAST_ERROR_SQLSTATE
BEGIN READ ONLY;
SELECT log_system_event('x');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT * FROM crewsnow_ops.roll_up_events();
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM crewsnow_ops.roll_up_events();
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT * FROM crewsnow_ops.roll_up_events(0);
\echo :LAST_ERROR_SQLSTATE
-- nothing was written
SELECT count(*) FROM event_log;
SELECT count(*) FROM processed_events;

-- constraints of the tables
\set VERBOSITY sqlstate
INSERT INTO event_log (event_type, execution_time_ms) VALUES ('x', 'NaN');
INSERT INTO event_log (event_type, execution_time_ms) VALUES ('x', 'Infinity');
INSERT INTO event_log (event_type, execution_time_ms) VALUES ('x', -0.001);
INSERT INTO event_log (event_type, execution_time_ms) VALUES ('x', 86400001);
INSERT INTO event_log (event_type, payload) VALUES ('x', '[]');
INSERT INTO event_log (event_type, payload)
    VALUES ('x', jsonb_build_object('stack', repeat('x', 1048576)));
INSERT INTO event_log (event_type, function_name) VALUES ('x', repeat('f', 10240));
INSERT INTO event_log (event_type, created_at) VALUES ('x', 'infinity');
INSERT INTO event_log (event_type, created_at) VALUES ('x', '-infinity');
INSERT INTO processed_events (event_id, event_type, status) VALUES ('e', 'x', 'lost');
INSERT INTO processed_events (event_id, event_type, processed_at) VALUES ('e', 'x', 'infinity');
INSERT INTO processed_events (event_id, event_type, attempts) VALUES ('e', 'x', -1);
\set VERBOSITY default

-- how events are counted
INSERT INTO event_log (event_type, function_name, execution_time_ms, payload) VALUES
    ('x', 'number', 1, '{"status_code": 503}'),
    ('x', 'text', 1, '{"status_code": "503"}'),
    ('x', 'class', 1, '{"status_code": "5xx"}'),
    ('x', 'five', 1, '{"status_code": 5}'),
    ('x', 'scientific', 1, '{"status_code": 5e2}'),
    ('x', 'leading zero', 1, '{"status_code": "0503"}'),
    ('x', 'fraction', 1, '{"status_code": 0.5}'),
    ('x', 'negative', 1, '{"status_code": -503}'),
    ('x', 'word', 1, '{"status_code": "error"}'),
    ('x', 'empty', 1, '{"status_code": ""}'),
    ('x', 'null', 1, '{"status_code": null}'),
    ('x', 'boolean', 1, '{"status_code": true}'),
    ('x', 'array', 1, '{"status_code": [503]}'),
    ('x', 'object', 1, '{"status_code": {"code": 503}}'),
    ('x', 'huge', 1, ('{"status_code": ' || '5' || repeat('0', 2000) || '}')::jsonb),
    ('x', 'nested', 1, '{"response": {"status_code": 503}}'),
    ('x', 'long payload', 1, jsonb_build_object('stack', repeat('x', 200000), 'status_code', 503)),
    ('x', 'no payload', 1, NULL),
    ('x', 'untimed', NULL, '{}'),
    ('x', 'nothing', 0, '{}'),
    ('x', 'a day', 86400000, '{}'),
    ('x', 'digits', 0.0000004999999999999999999999999999999999999999999999999999, '{}'),
    ('x', 'many digits', 123.4567891234567891234567891234567891234567891234567891234567, '{}'),
    ('x', NULL, 1, '{"status_code": 503}');
SELECT function_name, total_calls, error_5xx_count, avg_execution_time, p95_latency, timeout_count,
    latency_status, data_state, max_execution_time
FROM edge_functions_monitoring ORDER BY function_name COLLATE "C";
-- functions whose count of errors differs from the rule in SQL
SELECT function_name FROM event_log JOIN edge_functions_monitoring USING (function_name)
WHERE coalesce((payload ->> 'status_code' LIKE '5%')::int, 0) <> error_5xx_count;
-- events of the future and the past are counted in their own minutes
INSERT INTO event_log (event_type, function_name, execution_time_ms, created_at) VALUES
    ('x', 'future', 1, now() + interval '1 hour'), ('x', 'far future', 1, '9999-12-31'),
    ('x', 'year ago', 1, now() - interval '1 year'),
    ('x', 'long ago', 1, '0044-03-15 BC');
SELECT function_name FROM edge_functions_monitoring
    WHERE function_name LIKE '%future' OR function_name LIKE '%ago';
SELECT is_complete FROM crewsnow_ops.roll_up_events();
SELECT function_name, calls FROM crewsnow_ops.event_rollups
    WHERE function_name LIKE '%future' OR function_name LIKE '%ago' ORDER BY 1;
SELECT function_name FROM edge_functions_monitoring
    WHERE function_name LIKE '%future' OR function_name LIKE '%ago';

-- bytes that are no sketch
SELECT crewsnow_ops.sketch_quantile('', 0.5);
\echo :LAST_ERROR_SQLSTATE
SELECT crewsnow_ops.sketch_quantile('\xdeadbeef', 0.5);
SELECT crewsnow_ops.sketch_quantile('\x02010001010100010001ff', 0.5);
SELECT crewsnow_ops.merge_sketches(s) FROM (VALUES ('\x0200'::bytea), ('\x02')) AS v (s);
\echo :LAST_ERROR_SQLSTATE
SELECT crewsnow_ops.latency_sketch(ms) FROM (VALUES (1), (-1)) AS v (ms);
\echo :LAST_ERROR_SQLSTATE
SELECT crewsnow_ops.sketch_quantile(crewsnow_ops.latency_sketch(1), 1.5);
\echo :LAST_ERROR_SQLSTATE
SELECT crewsnow_ops.sketch_quantile(crewsnow_ops.latency_sketch(1), 'NaN');
SELECT crewsnow_ops.sketch_quantile(crewsnow_ops.latency_sketch(NULL::numeric), 0.5) IS NULL,
    crewsnow_ops.sketch_quantile(NULL, 0.5) IS NULL;
SELECT crewsnow_ops.latency_sketch(NULL::numeric),
    crewsnow_ops.latency_sketch(1) FILTER (WHERE false);

-- append-only, even for the superuser
UPDATE event_log SET function_name = 'g' WHERE function_name = 'number';
\echo :LAST_ERROR_SQLSTATE
UPDATE event_log SET payload = '{}' WHERE function_name = 'number';
UPDATE event_log SET created_at = now() WHERE function_name = 'number';
UPDATE event_log SET tx = 1 WHERE function_name = 'number';
DELETE FROM event_log;
\echo :LAST_ERROR_SQLSTATE
UPDATE event_log SET payload = '{"status_code": 503}', user_id = NULL, ip_address = NULL,
    user_agent = NULL, endpoint = NULL WHERE function_name = 'number';

-- a partition that cannot be read is an error, not a smaller count
\set VERBOSITY sqlstate
BEGIN;
ALTER TABLE event_log DROP CONSTRAINT event_log_check;
ALTER TABLE event_log ALTER COLUMN execution_time_ms TYPE double precision;
SELECT count(*) FROM edge_functions_monitoring;
ROLLBACK;
