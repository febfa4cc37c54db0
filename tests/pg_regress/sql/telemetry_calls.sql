-- Calls as drivers and object-relational mappers make them: typed and untyped parameters.
CREATE EXTENSION crewsnow_ops;
CREATE FUNCTION last_event() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' | ', event_type, function_name, execution_time_ms, payload)
    FROM event_log ORDER BY ctid DESC LIMIT 1
$$;

-- literals of every kind
SELECT crewsnow_ops.record_edge_call('literal', 12, 200) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('literal', 12.5, 200) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('literal', '12.5', '200') IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('literal', NULL, 200) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('literal', NULL, NULL) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call(NULL, NULL, NULL) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('literal', 1e3, 200::smallint) IS NOT NULL, last_event();

-- each type of number in both places
DO $$
DECLARE
    t text;
    s text;
    numbers text[] := ARRAY['smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision'];
BEGIN
    FOREACH t IN ARRAY numbers LOOP
        FOREACH s IN ARRAY numbers LOOP
            EXECUTE format('SELECT crewsnow_ops.record_edge_call(%L, 12::%s, 503::%s)',
                t || ', ' || s, t, s);
            EXECUTE format('SELECT crewsnow_ops.record_edge_call(%L, 12::%s, 503::%s,
                p_payload => ''{"a": 1}'', p_endpoint => ''/e'')', t || ', ' || s, t, s);
        END LOOP;
        EXECUTE format('SELECT log_system_event(%L, NULL, ''{}'', 12::%s, %L)', 'x', t, t);
        EXECUTE format('SELECT log_system_event(%L, NULL, ''{}''::jsonb, 12::%s, %L)', 'x', t, t);
        EXECUTE format('SELECT log_system_event(%L, NULL, ''{}''::json, 12::%s, %L)', 'x', t, t);
        EXECUTE format('SELECT log_system_event(%L, NULL, ''{}''::text, 12::%s, %L)', 'x', t, t);
    END LOOP;
END
$$;
SELECT count(*), sum(error_5xx_count), sum(total_calls), min(avg_execution_time),
    max(avg_execution_time)
FROM edge_functions_monitoring WHERE function_name NOT IN ('literal', '(unknown)');

-- a driver without types (all unknown), one with floats, and the clock of PL/pgSQL
PREPARE untyped AS SELECT crewsnow_ops.record_edge_call($1, $2, $3) IS NOT NULL;
EXECUTE untyped('untyped', '12.25', '200');
SELECT last_event();
PREPARE untyped_payload AS
    SELECT crewsnow_ops.record_edge_call($1, $2, $3, p_payload => $4) IS NOT NULL;
EXECUTE untyped_payload('untyped', 3, 200, '{"region": "eu"}');
SELECT last_event();
PREPARE untyped_all AS
    SELECT crewsnow_ops.record_edge_call($1, $2, $3, $4, $5, $6, $7, $8) IS NOT NULL;
EXECUTE untyped_all('untyped', 3, 200, md5('u')::uuid, '/e', '10.0.0.1', 'curl', '{"region": "eu"}');
SELECT last_event();
PREPARE untyped_event AS SELECT log_system_event($1, $2, $3, $4, $5) IS NOT NULL;
EXECUTE untyped_event('untyped', NULL, '{"a": 1}', 0.1, 'f');
SELECT last_event();
EXECUTE untyped_event('untyped', NULL, NULL, NULL, NULL);
SELECT last_event();
SELECT log_system_event('untyped') IS NOT NULL, log_system_event('untyped', NULL) IS NOT NULL,
    log_system_event('untyped', NULL, '{}') IS NOT NULL,
    log_system_event('untyped', NULL, NULL) IS NOT NULL,
    log_system_event('untyped', NULL, NULL, NULL) IS NOT NULL,
    log_system_event('untyped', md5('u')::uuid, '{}', NULL, 'f') IS NOT NULL;
SELECT crewsnow_ops.record_edge_call('clock', date_part('milliseconds', now() - now()), 200)
    IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('clock',
    extract(epoch FROM interval '0.0125 seconds') * 1000, 200) IS NOT NULL, last_event();
SELECT log_system_event('clock', NULL, '{}', date_part('epoch', interval '0.5 seconds') * 1000, 'f')
    IS NOT NULL, last_event();

-- by name, as PostgREST and careful callers do
SELECT log_system_event(p_event_type => 'named', p_payload => '{"a": 1}',
    p_execution_time_ms => 41.5, p_function_name => 'f') IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call(p_function_name => 'named', p_status_code => 200,
    p_execution_time_ms => 0.5::double precision) IS NOT NULL, last_event();
-- each set of names fits one function
SELECT names, count(*)
FROM (VALUES ('{p_event_type}'::text[]), ('{p_event_type,p_payload}'),
    ('{p_event_type,p_user_id,p_payload,p_execution_time_ms}'),
    ('{p_event_type,p_user_id,p_payload,p_execution_time_ms,p_function_name}')) AS n (names)
JOIN pg_proc AS p ON p.proname = 'log_system_event' AND p.proargnames @> n.names
    AND p.proargnames[1:p.pronargs - p.pronargdefaults] <@ n.names
GROUP BY names ORDER BY names;

-- bad values are corrected and told
SELECT crewsnow_ops.record_edge_call('bad', -0.001, 200) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('bad', '-Infinity'::double precision, 200) IS NOT NULL,
    last_event();
SELECT crewsnow_ops.record_edge_call('bad', 'Infinity'::double precision, 200) IS NOT NULL,
    last_event();
SELECT crewsnow_ops.record_edge_call('bad', 'NaN'::double precision, 200) IS NOT NULL,
    last_event();
SELECT crewsnow_ops.record_edge_call('bad', 1e300::double precision, 200) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('bad', 86400000.001, 200) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('bad', 1, 0) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('bad', 1, NULL) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('bad', 1, 5030) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('bad', 1, -1) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('bad', 1, 200.5) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('', 1, 200) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call(repeat('é', 150), 1, 200) IS NOT NULL;
SELECT octet_length(function_name), length(function_name) FROM event_log ORDER BY ctid DESC LIMIT 1;
SELECT log_system_event(NULL, NULL, '{}', -5, '') IS NOT NULL, last_event();
SELECT log_system_event(repeat('x', 10240)) IS NOT NULL;
SELECT octet_length(event_type) FROM event_log ORDER BY ctid DESC LIMIT 1;
-- JSON that jsonb refuses, in every place where JSON is written
SELECT log_system_event('nul', NULL, '{"text": "a\u0000b"}') IS NOT NULL, last_event();
SELECT log_system_event('nul', NULL, '{"text": "a\u0000b"}', 41.5) IS NOT NULL, last_event();
SELECT log_system_event('nul', NULL, '{"a\u0000": 1}', 1.5::double precision, 'f') IS NOT NULL,
    last_event();
SELECT log_system_event('nul', NULL, '{"half": "\ud83d"}'::json) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('nul', 41.5, 200, p_payload => '{"text": "a\u0000b"}')
    IS NOT NULL, last_event();
SELECT crewsnow_ops.record_edge_call('nul', 1, 200, p_payload => '{"text": "a\\u0000b"}'::json)
    IS NOT NULL, last_event();
SELECT log_system_event('x', NULL, '[1, 2]') IS NOT NULL, last_event();
SELECT log_system_event('x', NULL, '7'::jsonb) IS NOT NULL, last_event();
SELECT log_system_event('x', NULL, 'no JSON "at all') IS NOT NULL, last_event();
SELECT log_system_event('x', NULL, '{"n": 1e400}') IS NOT NULL, last_event() LIKE '%{"n": 1000%';
SELECT log_system_event('x', NULL, '{"n": 1e200000}') IS NOT NULL, last_event();
SELECT log_system_event('x', NULL, '{"a":' || repeat('[', 300) || repeat(']', 300) || '}')
    IS NOT NULL, left(last_event(), 20);
SELECT log_system_event('large', NULL, jsonb_build_object('status_code', 503, 'stack',
    repeat('x', 1048576)), 5, 'large') IS NOT NULL, last_event();
SELECT log_system_event('large', NULL, repeat('x', 5000000)) IS NOT NULL, last_event();
SELECT crewsnow_ops.record_stripe_webhook('evt_nul', '', true, NULL, '{"a": "\u0000"}');
SELECT event_type, payload FROM processed_events WHERE event_id = 'evt_nul';
-- the caller's transaction goes on
BEGIN;
CREATE TABLE orders (id int);
INSERT INTO orders VALUES (1);
SELECT crewsnow_ops.record_edge_call('checkout', -1, 0, p_payload => '[') IS NOT NULL;
COMMIT;
SELECT count(*) FROM orders;
-- a failure that is recorded in a transaction that rolls back is lost, one after it is not
BEGIN;
SELECT crewsnow_ops.record_edge_call('lost', 1, 500) IS NOT NULL;
ROLLBACK;
BEGIN;
SAVEPOINT work;
INSERT INTO orders VALUES ('x');
ROLLBACK TO work;
SELECT crewsnow_ops.record_edge_call('kept', 1, 500) IS NOT NULL;
COMMIT;
SELECT function_name FROM edge_functions_monitoring WHERE function_name IN ('lost', 'kept');

-- plain SQL as mappers write it
INSERT INTO event_log (id, event_type, tx) VALUES (NULL, 'mapped', NULL)
    RETURNING id IS NOT NULL, tx = txid_current();
INSERT INTO event_log (event_type) VALUES ('mapped') RETURNING id IS NOT NULL, created_at = now();
