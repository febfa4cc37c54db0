-- Users to evaluate for, the rivals, and a stopwatch. :native is the path of the library with the empty function.
CREATE EXTENSION crewsnow_ops;
CREATE SCHEMA bench;
CREATE TABLE bench.users AS SELECT md5('user ' || n)::uuid AS id FROM generate_series(1, 1000000) AS n;
VACUUM (FREEZE, ANALYZE) bench.users;

CREATE FUNCTION bench.empty_native(text, uuid) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS :'native', 'empty_native';

-- What teams write by hand: one look-up by key, and a hash for the rollout.
CREATE TABLE bench.handmade_flags (key text PRIMARY KEY, enabled boolean NOT NULL, percentage integer NOT NULL);
INSERT INTO bench.handmade_flags SELECT 'flag_' || n, true, 50 FROM generate_series(1, 200) AS n;
ANALYZE bench.handmade_flags;
CREATE FUNCTION bench.handmade(p_key text, p_user uuid) RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    flag bench.handmade_flags;
BEGIN
    SELECT * INTO flag FROM bench.handmade_flags WHERE key = p_key;
    IF NOT FOUND OR NOT flag.enabled THEN
        RETURN false;
    END IF;
    RETURN abs(hashtext(p_key || ':' || p_user::text)::bigint) % 100 < flag.percentage;
END $$;

CREATE TABLE bench.results (label text, nanoseconds double precision);

-- Runs the queries in turn, round after round, so that a machine that speeds up or slows down does so for all of them. A query's time
-- less the time of the first one, the bare scan, is what its calls cost.
CREATE PROCEDURE bench.measure(labels text[], queries text[], row_count integer, rounds integer) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    taken double precision;
BEGIN
    FOR round IN 0..rounds LOOP
        FOR i IN 1..array_length(queries, 1) LOOP
            started := clock_timestamp();
            EXECUTE queries[i];
            taken := extract(epoch FROM clock_timestamp() - started) * 1e9 / row_count;
            -- The first round warms up.
            IF round > 0 THEN
                INSERT INTO bench.results VALUES (labels[i], taken);
            END IF;
        END LOOP;
    END LOOP;
END $$;
