-- 300 persons in 20 related tables. The column who is the number of the person who must be erased
-- for the row to go; it is no id.
CREATE SCHEMA auth;
CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, phone text, who integer);
INSERT INTO auth.users
SELECT md5('person ' || i)::uuid, format('person%s@example.org', i),
    '+33600' || lpad(i::text, 6, '0'), i
FROM generate_series(1, 300) AS i;

DO $$
DECLARE
    action text;
BEGIN
    -- Twelve tables of the person, four below them, and two below those.
    FOR i IN 1..18 LOOP
        action := CASE WHEN i % 2 = 0 THEN 'ON DELETE CASCADE' ELSE '' END;
        IF i <= 12 THEN
            EXECUTE format('CREATE TABLE t%s (id serial PRIMARY KEY, u uuid REFERENCES auth.users %s,
                who integer, body text)', i, action);
            EXECUTE format('INSERT INTO t%s (u, who, body) SELECT id, who, ''mail '' || email
                FROM auth.users, generate_series(1, 3)', i);
        ELSE
            EXECUTE format('CREATE TABLE t%s (id serial PRIMARY KEY, up integer NOT NULL
                REFERENCES t%s %s, who integer, body jsonb)', i, CASE WHEN i <= 16 THEN i - 12
                ELSE i - 4 END, action);
            EXECUTE format('INSERT INTO t%s (up, who, body) SELECT p.id, p.who,
                jsonb_build_object(''by'', u.id, ''mail'', ARRAY[u.email])
                FROM t%s AS p JOIN auth.users AS u USING (who), generate_series(1, 2)', i,
                CASE WHEN i <= 16 THEN i - 12 ELSE i - 4 END);
        END IF;
    END LOOP;
END
$$;
-- Rows of two persons.
CREATE TABLE t19 (sender uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    receiver uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE, who integer, n integer,
    PRIMARY KEY (sender, receiver, n));
INSERT INTO t19
SELECT a.id, b.id, least(a.who, b.who), n
FROM auth.users AS a
JOIN auth.users AS b ON b.who = a.who % 300 + 1
CROSS JOIN generate_series(1, 2) AS n;
-- Rows without a key, in partitions, that outlive the person.
CREATE TABLE t20 (at date NOT NULL, seen_by uuid REFERENCES auth.users ON DELETE SET NULL,
    who integer) PARTITION BY RANGE (at);
CREATE TABLE t20_old PARTITION OF t20 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE t20_new PARTITION OF t20 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
INSERT INTO t20
SELECT d, u.id, u.who FROM auth.users AS u, unnest('{2020-05-05,2021-05-05}'::date[]) AS d;

-- Trails of the extension.
SELECT count(log_system_event('signed_in', id, jsonb_build_object('email', email, 'n', 1)))
FROM auth.users WHERE who % 2 = 0;
SELECT count(log_system_event('invited', NULL, jsonb_build_object('by', email)))
FROM auth.users WHERE who % 3 = 0;
UPDATE feature_flags SET target_user_ids = ARRAY(SELECT id FROM auth.users WHERE who < 150)
WHERE flag_key = 'tracker_pro';
SELECT count(update_feature_flag('messaging', who % 2 = 0, p_updated_by => email))
FROM auth.users WHERE who BETWEEN 90 AND 110;
SELECT count(crewsnow_ops.record_evidence('restore-test', true, jsonb_build_object('by', email)))
FROM auth.users WHERE who BETWEEN 95 AND 105;
INSERT INTO crewsnow_ops.user_context (user_id) SELECT id FROM auth.users;
INSERT INTO processed_events (event_id, event_type, payload)
SELECT 'evt_' || who, 'customer.created', jsonb_build_object('customer', id) FROM auth.users;
SELECT count(*) FROM make_go_no_go_decision();
