-- Privileges on telemetry, tried as each access level.
\set VERBOSITY sqlstate
CREATE EXTENSION crewsnow_ops;
CREATE ROLE outsider LOGIN;
CREATE ROLE reader LOGIN;
CREATE ROLE writer LOGIN;
CREATE ROLE operator LOGIN;
CREATE ROLE admin LOGIN;
SELECT crewsnow_ops.grant_access(level, level)
    FROM unnest(ARRAY['reader', 'writer', 'operator', 'admin']) AS level;

-- an outsider has no privilege
SET SESSION AUTHORIZATION outsider;
SELECT log_system_event('x');
SELECT crewsnow_ops.record_edge_call('f', 1, 200);
SELECT crewsnow_ops.record_stripe_webhook('evt_1', 'invoice.paid');
INSERT INTO event_log (event_type) VALUES ('x');
SELECT count(*) FROM event_log;
SELECT count(*) FROM crewsnow_ops.event_log_default;
SELECT count(*) FROM processed_events;
SELECT count(*) FROM edge_functions_monitoring;
SELECT count(*) FROM error_rate_monitoring;
SELECT count(*) FROM stripe_webhook_monitoring;
SELECT count(*) FROM crewsnow_ops.dashboard;
SELECT count(*) FROM crewsnow_ops.edge_functions_now();
SELECT crewsnow_ops.roll_up_events();
SELECT crewsnow_ops.apply_event_retention();
SELECT crewsnow_ops.rebuild_rollups();
SELECT crewsnow_ops.latency_sketch(1);
SELECT crewsnow_ops.latency_sketch_add(NULL, 1);

-- a writer, such as a service, writes in every way and reads of events only what RETURNING needs
SET SESSION AUTHORIZATION writer;
SELECT log_system_event('x') IS NOT NULL;
SELECT crewsnow_ops.record_edge_call('f', 1, 200) IS NOT NULL;
SELECT crewsnow_ops.record_stripe_webhook('evt_1', 'invoice.paid', NULL);
SELECT crewsnow_ops.record_stripe_webhook('evt_1', 'invoice.paid');
INSERT INTO event_log (event_type, function_name, tx) VALUES ('x', 'f', 1);
COPY event_log (event_type, function_name) FROM stdin;
x	f
x	f
\.
SELECT count(*) FROM event_log;
INSERT INTO event_log (event_type) VALUES ('x') RETURNING id IS NOT NULL, created_at = now();
SELECT user_id FROM event_log;
SELECT payload FROM event_log;
INSERT INTO event_log (event_type) VALUES ('x') RETURNING *;
UPDATE event_log SET user_id = NULL;
DELETE FROM event_log;
TRUNCATE event_log;
SELECT count(*) FROM edge_functions_monitoring;
SELECT crewsnow_ops.roll_up_events();
SELECT is_feature_enabled_for_user('messaging');
SELECT count(*) FROM feature_flags;
INSERT INTO crewsnow_ops.webhook_journal VALUES (now(), 100, 0);
UPDATE crewsnow_ops.rollup_state SET covered = '1:1:';

-- a reader reads counts, but no event
SET SESSION AUTHORIZATION reader;
SELECT function_name, total_calls FROM edge_functions_monitoring;
SELECT sum(total_requests) FROM error_rate_monitoring;
SELECT sum(total_events) FROM stripe_webhook_monitoring;
SELECT signal FROM crewsnow_ops.dashboard;
SET search_path = '';
SELECT total_calls FROM public.edge_functions_monitoring;
SELECT pg_catalog.count(*) FROM crewsnow_ops.dashboard;
RESET search_path;
SELECT crewsnow_ops.sketch_quantile(crewsnow_ops.latency_sketch(42), 0.5);
SELECT count(*) FROM event_log;
SELECT count(*) FROM processed_events;
SELECT log_system_event('x');
SELECT crewsnow_ops.roll_up_events();
SELECT count(*) FROM crewsnow_ops.event_rollups;

-- an operator rolls events up; the partitions created belong to the owner of event_log
SET SESSION AUTHORIZATION operator;
SELECT * FROM crewsnow_ops.roll_up_events();
SELECT count(*) FROM event_log;
UPDATE event_log SET user_id = NULL, ip_address = NULL;
UPDATE event_log SET function_name = 'g';
DELETE FROM event_log;
UPDATE crewsnow_ops.event_rollups SET calls = 0;
DELETE FROM crewsnow_ops.event_rollups;
SELECT crewsnow_ops.apply_event_retention();
SELECT crewsnow_ops.rebuild_rollups();
SET crewsnow_ops.event_retention = '1d';
SELECT current_user, session_user;
SELECT count(*) = 3 FROM pg_inherits WHERE inhparent = 'event_log'::regclass
    AND inhrelid <> 'crewsnow_ops.event_log_default'::regclass;
SELECT DISTINCT pg_get_userbyid(relowner) =
    (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'event_log'::regclass)
FROM pg_class WHERE oid IN
    (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'event_log'::regclass);

-- an admin also drops partitions and rebuilds the rollups
SET SESSION AUTHORIZATION admin;
SELECT * FROM crewsnow_ops.apply_event_retention();
SELECT crewsnow_ops.rebuild_rollups();
SELECT function_name, total_calls FROM edge_functions_monitoring;

-- a trigger that an operator was allowed to create runs with the privileges of the writer
RESET SESSION AUTHORIZATION;
GRANT TRIGGER ON processed_events TO operator;
GRANT CREATE ON SCHEMA public TO operator;
SET SESSION AUTHORIZATION operator;
CREATE FUNCTION public.note_role() RETURNS trigger
    LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'running as %', current_user; RETURN NULL; END $$;
CREATE TRIGGER zz_note_role AFTER INSERT ON processed_events FOR EACH ROW
    EXECUTE FUNCTION public.note_role();
\set VERBOSITY default
SET SESSION AUTHORIZATION writer;
SELECT crewsnow_ops.record_stripe_webhook('evt_2', 'invoice.paid');
