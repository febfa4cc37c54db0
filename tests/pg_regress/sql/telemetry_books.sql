-- processed_events kept by plain SQL: UPDATE, upsert and saves of whole rows.
CREATE EXTENSION crewsnow_ops;
CREATE VIEW status AS SELECT DISTINCT webhook_status, reversed_events
    FROM stripe_webhook_monitoring;
CREATE FUNCTION arrive(n int, ago interval) RETURNS void LANGUAGE sql AS $$
    INSERT INTO processed_events (event_id, event_type, status, received_at, processed_at)
    SELECT 'evt_' || i, 'invoice.paid', 'received', now() - ago, now() - ago
    FROM generate_series(1, n) AS i
$$;

-- a queue of 20 minutes: all of it fails now
SELECT arrive(100, '20 minutes');
UPDATE processed_events SET status = 'failed', error_message = 'upstream 500';
SELECT webhook_status FROM status;
SELECT count(*) FROM processed_events WHERE processed_at = now() - interval '20 minutes';
TRUNCATE processed_events;
-- the same by upsert
SELECT arrive(100, '20 minutes');
INSERT INTO processed_events (event_id, event_type, status)
SELECT 'evt_' || i, 'invoice.paid', 'failed' FROM generate_series(1, 100) AS i
ON CONFLICT (event_id) DO UPDATE SET event_type = excluded.event_type, status = excluded.status;
SELECT webhook_status FROM status;
TRUNCATE processed_events;
-- the same by a save of the whole row, as mappers do it
SELECT arrive(100, '20 minutes');
UPDATE processed_events SET event_type = event_type, status = 'failed', error_message = 'x',
    attempts = attempts, received_at = received_at, processed_at = processed_at, payload = payload,
    failed_at = failed_at;
SELECT webhook_status FROM status;
-- a second failure counts when it happens
UPDATE processed_events SET processed_at = now() - interval '30 minutes';
SELECT webhook_status FROM status;
UPDATE processed_events SET status = 'failed' WHERE event_id <= 'evt_2';
SELECT count(*) FILTER (WHERE processed_at > now() - interval '1 minute') > 0,
    bool_and(failed_at = processed_at) FROM processed_events;
SELECT webhook_status FROM status;
-- a note about an old failure is not a new one
UPDATE processed_events SET payload = '{"note": 1}' WHERE event_id = 'evt_99';
SELECT processed_at < now() - interval '29 minutes' FROM processed_events
    WHERE event_id = 'evt_99';
-- a statement that sets a time keeps it
UPDATE processed_events SET status = 'processed', processed_at = '2026-01-01'
    WHERE event_id = 'evt_99';
SELECT processed_at = '2026-01-01', failed_at FROM processed_events WHERE event_id = 'evt_99';
TRUNCATE processed_events;

-- ten of twenty fail, and are delivered again: they stay failed until they are processed
SELECT count(crewsnow_ops.record_stripe_webhook('evt_' || n, 'invoice.paid', n > 10, 'boom'))
    FROM generate_series(1, 20) AS n;
SELECT webhook_status FROM status;
SELECT count(crewsnow_ops.record_stripe_webhook('evt_' || n, 'invoice.paid', NULL))
    FROM generate_series(1, 5) AS n;
UPDATE processed_events SET status = 'received' WHERE event_id IN
    (SELECT 'evt_' || n FROM generate_series(6, 10) AS n);
SELECT status, count(*), count(failed_at) FROM processed_events GROUP BY 1 ORDER BY 1;
SELECT webhook_status FROM status;
SELECT * FROM crewsnow_ops.roll_up_events();
SELECT webhook_status FROM status;
SELECT count(crewsnow_ops.record_stripe_webhook('evt_' || n, 'invoice.paid'))
    FROM generate_series(1, 5) AS n;
UPDATE processed_events SET status = 'processed' WHERE status = 'received';
SELECT webhook_status FROM status;
SELECT count(failed_at) FROM processed_events;
SELECT crewsnow_ops.rebuild_rollups();
SELECT webhook_status FROM status;

-- a status that goes backwards is seen
UPDATE processed_events SET status = 'received' WHERE event_id = 'evt_1';
UPDATE processed_events SET status = 'failed' WHERE event_id = 'evt_2';
SELECT event_id, old_status, new_status, changed_by = session_user
    FROM crewsnow_ops.webhook_reversals ORDER BY 1;
SELECT reversed_events FROM status;
-- record_stripe_webhook never does that
SELECT crewsnow_ops.record_stripe_webhook('evt_3', 'invoice.paid', false);
SELECT status FROM processed_events WHERE event_id = 'evt_3';

-- NULL for columns with defaults, and times ahead of the clock
INSERT INTO processed_events (event_id, event_type, status, processed_at, attempts)
    VALUES ('evt_null', 'x', NULL, NULL, NULL)
    RETURNING status, processed_at = now(), attempts, failed_at;
INSERT INTO processed_events (event_id, event_type, status, processed_at)
    VALUES ('evt_ahead', 'x', 'failed', now() + interval '1 day')
    RETURNING processed_at <= clock_timestamp(), failed_at = processed_at;
\set VERBOSITY sqlstate
UPDATE processed_events SET processed_at = NULL WHERE event_id = 'evt_null';
UPDATE processed_events SET processed_at = 'infinity' WHERE event_id = 'evt_null';
UPDATE processed_events SET status = 'lost' WHERE event_id = 'evt_null';
\set VERBOSITY default

-- the triggers are no functions to call
SELECT crewsnow_ops.processed_events_before_write();
\echo :LAST_ERROR_SQLSTATE
DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'crewsnow_ops'::regnamespace
        AND prorettype = 'trigger'::regtype
    LOOP
        BEGIN
            EXECUTE format('SELECT %s', f);
        EXCEPTION WHEN OTHERS THEN
            IF sqlstate <> '39P01' THEN
                RAISE NOTICE '%: % %', f, sqlstate, sqlerrm;
            END IF;
        END;
    END LOOP;
END
$$;

-- values of events can be erased, which is recorded, and not overwritten
CREATE FUNCTION id_of(p_type text) RETURNS uuid LANGUAGE sql
    AS 'SELECT id FROM event_log WHERE event_type = p_type';
SELECT count(log_system_event('login', md5('1')::uuid, '{"action": "login", "mail": "a@b.c",
    "device": {"os": "x", "name": "Ann''s phone"}, "status_code": 200}'));
\set VERBOSITY sqlstate
UPDATE event_log SET user_id = md5('2')::uuid;
UPDATE event_log SET ip_address = '6.6.6.6';
UPDATE event_log SET endpoint = '/x', user_agent = 'forged';
UPDATE event_log SET payload = '{"action": "deleted_all", "status_code": 200}';
UPDATE event_log SET payload = payload || '{"more": 1}';
UPDATE event_log SET payload = jsonb_set(payload, '{mail}', '"c@d.e"');
UPDATE event_log SET payload = payload - 'status_code';
UPDATE event_log SET payload = NULL;
UPDATE event_log SET event_type = 'x';
\set VERBOSITY default
UPDATE event_log SET user_id = NULL, payload = payload - 'mail' #- '{device,name}';
SELECT payload FROM event_log;
UPDATE event_log SET user_id = NULL, payload = payload;
SELECT event_id = id_of('login'), columns, erased_by = session_user, acting_as = current_user
    FROM crewsnow_ops.event_erasures;
