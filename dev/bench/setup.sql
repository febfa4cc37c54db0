-- Users to evaluate for, the rivals, and a stopwatch.
-- :native is the path of the library with the empty function.
CREATE EXTENSION crewsnow_ops;
CREATE SCHEMA bench;
CREATE TABLE bench.users AS
SELECT md5('user ' || n)::uuid AS id FROM generate_series(1, 1000000) AS n;
CREATE TABLE bench.some_users AS SELECT id FROM bench.users LIMIT 50000;
VACUUM (FREEZE, ANALYZE) bench.users, bench.some_users;

CREATE FUNCTION bench.empty_native(text, uuid) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS :'native', 'empty_native';

-- The usual PL/pgSQL function under the same contract. Every role may call it and none reads the
-- table, so it runs as its owner with a pinned search_path. It never raises. It applies the same
-- rules in the same order, with one look-up by key and the server's own hash for the rollout.
CREATE TABLE bench.handmade_flags AS SELECT * FROM feature_flags LIMIT 0;
ALTER TABLE bench.handmade_flags ADD PRIMARY KEY (id), ADD UNIQUE (flag_key);
INSERT INTO bench.handmade_flags
SELECT (jsonb_populate_record(f, jsonb_build_object(
    'id', gen_random_uuid(), 'flag_key', 'flag_' || n, 'is_enabled', true,
    'rollout_percentage', CASE WHEN n % 2 = 0 THEN 50 ELSE 100 END))).*
FROM generate_series(1, 200) AS n, feature_flags AS f WHERE f.flag_key = 'tracker_pro';
ANALYZE bench.handmade_flags;
CREATE FUNCTION bench.handmade(p_key text, p_user uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    flag record;
    context record;
BEGIN
    SELECT * INTO flag FROM bench.handmade_flags WHERE flag_key = p_key;
    IF NOT FOUND OR NOT flag.is_enabled THEN
        RETURN false;
    END IF;
    IF p_user = ANY (flag.target_user_ids) THEN
        RETURN true;
    END IF;
    IF flag.target_premium_only OR flag.target_regions <> '{}' OR flag.target_segments <> '{}' THEN
        SELECT * INTO context FROM crewsnow_ops.user_context WHERE user_id = p_user;
        IF NOT FOUND OR flag.target_premium_only AND NOT context.is_premium
            OR flag.target_regions <> '{}' AND NOT context.region = ANY (flag.target_regions)
            OR flag.target_segments <> '{}' AND NOT context.segments && flag.target_segments THEN
            RETURN false;
        END IF;
    END IF;
    IF flag.rollout_percentage = 100 THEN
        RETURN true;
    END IF;
    IF flag.rollout_percentage = 0 OR p_user IS NULL THEN
        RETURN false;
    END IF;
    RETURN abs(hashtext(p_key || ':' || p_user::text)::bigint) % 100 < flag.rollout_percentage;
EXCEPTION WHEN OTHERS THEN
    RETURN false;
END $$;
-- The shortest PL/pgSQL function: STABLE, the caller's rights on the table, the caller's
-- search_path, no targeting.
CREATE FUNCTION bench.least(p_key text, p_user uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    flag record;
BEGIN
    SELECT is_enabled, rollout_percentage INTO flag
    FROM bench.handmade_flags WHERE flag_key = p_key;
    IF NOT FOUND OR NOT flag.is_enabled THEN
        RETURN false;
    END IF;
    RETURN abs(hashtext(p_key || ':' || p_user::text)::bigint) % 100 < flag.rollout_percentage;
END $$;

CREATE TABLE bench.queries (
    n integer GENERATED ALWAYS AS IDENTITY, kind text, label text, query text
);
INSERT INTO bench.queries (kind, label, query)
SELECT v.kind, v.label,
    'SELECT count(*) FROM bench.' || v.users || coalesce(' WHERE ' || v.qual, '')
FROM (VALUES
    ('large', 'scan', 'users', NULL),
    ('large', 'empty native function', 'users', $$bench.empty_native('flag_1', id)$$),
    ('large', '100 %', 'users', $$is_feature_enabled_for_user('flag_1', id)$$),
    ('large', '50 %', 'users', $$is_feature_enabled_for_user('flag_2', id)$$),
    ('large', 'two flags in turn', 'users',
     $$is_feature_enabled_for_user('flag_1', id) AND is_feature_enabled_for_user('flag_5', id)$$),
    ('small', 'scan', 'some_users', NULL),
    ('small', 'PL/pgSQL, 100 %', 'some_users', $$bench.handmade('flag_1', id)$$),
    ('small', 'PL/pgSQL, 50 %', 'some_users', $$bench.handmade('flag_2', id)$$),
    ('small', 'least PL/pgSQL, 50 %', 'some_users', $$bench.least('flag_2', id)$$),
    ('small', 'targeted by table', 'some_users', $$is_feature_enabled_for_user('flag_3', id)$$)
) AS v (kind, label, users, qual);
CREATE TABLE bench.results (label text, nanoseconds double precision);

-- Runs the queries of a kind in turn, round after round, so that a change of the machine's speed
-- hits all of them. The cost of a call is the query's best round minus the bare scan's best round,
-- because a disturbance only slows down.
CREATE PROCEDURE bench.measure(kind text, suffix text, row_count integer, rounds integer)
    LANGUAGE plpgsql AS $$
DECLARE
    query record;
    started timestamptz;
BEGIN
    CREATE TEMP TABLE round_times (n integer, label text, taken double precision) ON COMMIT DROP;
    -- The first round warms up.
    FOR round IN 0..rounds LOOP
        FOR query IN SELECT * FROM bench.queries AS q WHERE q.kind = measure.kind ORDER BY q.n LOOP
            started := clock_timestamp();
            EXECUTE query.query;
            IF round > 0 THEN
                INSERT INTO round_times VALUES (query.n, query.label,
                    extract(epoch FROM clock_timestamp() - started) * 1e9 / row_count);
            END IF;
        END LOOP;
    END LOOP;
    INSERT INTO bench.results
    SELECT t.label || suffix,
        min(t.taken) - (SELECT min(s.taken) FROM round_times AS s WHERE s.label = 'scan')
    FROM round_times AS t WHERE t.label <> 'scan' GROUP BY t.label;
END $$;
