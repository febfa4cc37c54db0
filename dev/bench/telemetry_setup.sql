-- Events to write, a bare table for the rivals, and a stopwatch.
-- :bulk is the number of events written at once.
CREATE EXTENSION crewsnow_ops;
CREATE SCHEMA bench;

-- Forty functions with skewed frequencies and log-normal execution times. 2 % of the calls fail
-- with status 503.
CREATE TABLE bench.events AS
SELECT n, 'edge_function_call' AS event_type, user_id,
    jsonb_build_object(
        'status_code', CASE WHEN random() < 0.02 THEN 503 ELSE 200 END,
        'region', (ARRAY['eu-central-1', 'eu-west-3', 'us-east-1', 'ap-southeast-2'])[
            1 + floor(random() * 4)::integer]
    ) AS payload,
    round(exp(3.5 + f / 20.0
        + 0.7 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))::numeric, 3)
        AS execution_time_ms,
    'function-' || f AS function_name, '/functions/v1/function-' || f AS endpoint,
    '10.0.0.0'::inet + floor(random() * 16777216)::bigint AS ip_address,
    (ARRAY['Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 '
            'CrewSnow/2.3.1',
        'Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/124.0 CrewSnow/2.3.0',
        'Deno/1.43.1 (variant; SupabaseEdgeRuntime/1.53.3)'])[
            1 + floor(random() * 3)::integer] AS user_agent
FROM (
    SELECT n, md5('user ' || n % 50000)::uuid AS user_id, 1 + floor(40 * random() ^ 2)::integer AS f
    FROM generate_series(1, :bulk) AS n
) AS drawn;
CREATE UNIQUE INDEX ON bench.events (n);
VACUUM (FREEZE, ANALYZE) bench.events;
-- Events of tomorrow. That day's partition exists, as it does on every day but the first.
CREATE VIEW bench.written AS
SELECT event_type, user_id, payload, execution_time_ms, function_name, endpoint, ip_address,
    user_agent, date_trunc('day', now(), 'UTC') + interval '36 hours'
        + n * interval '3.6 milliseconds' AS created_at
FROM bench.events;

-- The rival for writing: the same columns, with the same defaults for id and created_at only.
CREATE TABLE bench.bare (
    id uuid DEFAULT gen_random_uuid(), event_type text, user_id uuid, payload jsonb,
    execution_time_ms numeric, function_name text, endpoint text, ip_address inet,
    user_agent text, created_at timestamptz DEFAULT now(), tx bigint
);

CREATE TABLE bench.results (
    n integer GENERATED ALWAYS AS IDENTITY, what text, value double precision
);
-- The end of the hour that the views show.
CREATE TABLE bench.hour (ending timestamptz);
CREATE FUNCTION bench.seconds_since(started timestamptz) RETURNS double precision
    LANGUAGE sql VOLATILE AS
    'SELECT extract(epoch FROM clock_timestamp() - started)::double precision';

-- Records the seconds that a statement takes in a transaction of its own, planned anew as in psql.
CREATE PROCEDURE bench.run(what text, statement text) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    taken double precision;
BEGIN
    COMMIT;
    started := clock_timestamp();
    EXECUTE statement;
    COMMIT;
    taken := bench.seconds_since(started);
    INSERT INTO bench.results (what, value) VALUES (run.what, taken);
    COMMIT;
END $$;

-- INSERT or COPY into the log or the bare table. COPY reads the file at `path`.
CREATE PROCEDURE bench.write(command text, target text, path text) LANGUAGE plpgsql AS $$
DECLARE
    columns CONSTANT text := 'event_type, user_id, payload, execution_time_ms, function_name, '
        'endpoint, ip_address, user_agent, created_at';
    into_ CONSTANT text := CASE target WHEN 'log' THEN 'event_log' ELSE 'bench.bare' END;
BEGIN
    CALL bench.run(command || ' ' || target, CASE command
        WHEN 'insert' THEN
            format('INSERT INTO %s (%s) SELECT %2$s FROM bench.written', into_, columns)
        ELSE format('COPY %s (%s) FROM %L', into_, columns, path)
    END);
END $$;

-- Rolls up until nothing is left. Records rows per second and calls, unless `what` is empty.
CREATE PROCEDURE bench.roll_up(what text) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz := clock_timestamp();
    counted bigint := 0;
    calls integer := 0;
    call record;
BEGIN
    LOOP
        SELECT * INTO call FROM crewsnow_ops.roll_up_events();
        COMMIT;
        counted := counted + call.events_counted;
        calls := calls + 1;
        EXIT WHEN call.is_complete;
    END LOOP;
    INSERT INTO bench.results (what, value)
    SELECT v.* FROM (VALUES
        (what, counted / bench.seconds_since(started)), (what || ', calls', calls)
    ) AS v WHERE what <> '';
END $$;

-- Events of the hour that ends at `ending`, in order of time, in transactions of 100,000.
CREATE PROCEDURE bench.load_events(total integer, ending timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    available CONSTANT integer := (SELECT max(n) FROM bench.events);
    chunk CONSTANT integer := least(100000, available);
    start integer;
BEGIN
    TRUNCATE bench.hour;
    INSERT INTO bench.hour VALUES (ending);
    FOR written IN 0..total - chunk BY chunk LOOP
        start := written % (available / chunk * chunk);
        INSERT INTO event_log (event_type, user_id, payload, execution_time_ms, function_name,
            endpoint, ip_address, user_agent, created_at)
        SELECT e.event_type, e.user_id, e.payload, e.execution_time_ms, e.function_name,
            e.endpoint, e.ip_address, e.user_agent,
            ending - interval '1 hour' * (total - written - (e.n - start)) / total
        FROM bench.events AS e
        WHERE e.n > start AND e.n <= start + chunk;
        COMMIT;
    END LOOP;
END $$;

-- Webhooks of that hour. 1 % of them failed.
CREATE PROCEDURE bench.load_webhooks(total integer, ending timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    chunk CONSTANT integer := least(100000, total);
BEGIN
    TRUNCATE bench.hour;
    INSERT INTO bench.hour VALUES (ending);
    FOR written IN 0..total - chunk BY chunk LOOP
        INSERT INTO processed_events (event_id, event_type, processed_at, status, received_at)
        SELECT 'evt_' || lpad((written + n)::text, 24, '0'), 'invoice.paid', t,
            CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'processed' END, t
        FROM generate_series(1, chunk) AS n, LATERAL (
            SELECT ending - interval '1 hour' * (total - written - n) / total AS t
        ) AS at;
        COMMIT;
    END LOOP;
END $$;

-- The rival once, then the view three times, round after round. The first two rounds warm up.
CREATE PROCEDURE bench.compare(what text, view text, rival text, rounds integer)
    LANGUAGE plpgsql AS $$
BEGIN
    FOR round IN 1..rounds + 2 LOOP
        IF rival <> '' THEN
            CALL bench.run('rival of ' || what, rival);
        END IF;
        FOR i IN 1..3 LOOP
            CALL bench.run(what, view);
        END LOOP;
        IF round = 2 THEN
            DELETE FROM bench.results AS r
            WHERE r.what IN (compare.what, 'rival of ' || compare.what);
        END IF;
    END LOOP;
END $$;

-- The view as if no event had been rolled up.
CREATE PROCEDURE bench.run_uncounted(what text, view text) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    taken double precision;
BEGIN
    UPDATE crewsnow_ops.rollup_state SET covered = '1:1:', system_identifier = 0, database = 0;
    started := clock_timestamp();
    EXECUTE view;
    taken := bench.seconds_since(started);
    ROLLBACK;
    INSERT INTO bench.results (what, value) VALUES (run_uncounted.what, taken);
END $$;
