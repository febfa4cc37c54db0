-- Privileges on the functions and tables of decisions, tried as each access level.
\set VERBOSITY sqlstate
CREATE EXTENSION crewsnow_ops;
CREATE ROLE go_outsider LOGIN;
CREATE ROLE go_reader LOGIN;
CREATE ROLE go_writer LOGIN;
CREATE ROLE go_operator LOGIN;
CREATE ROLE go_admin LOGIN;
CREATE ROLE go_client NOLOGIN;
GRANT go_client TO go_admin;
SELECT crewsnow_ops.grant_access('go_' || level, level)
FROM unnest(ARRAY['reader', 'writer', 'operator', 'admin']) AS level;
ALTER DATABASE readiness_privileges SET crewsnow_ops.user_role = 'go_client';
ALTER DATABASE readiness_privileges SET crewsnow_ops.anonymous_role = '';
ALTER DATABASE readiness_privileges SET crewsnow_ops.users_table = '';
CREATE SCHEMA app AUTHORIZATION go_admin;
GRANT USAGE ON SCHEMA app TO go_client, go_operator;
CREATE TABLE app.orders (id integer PRIMARY KEY, who text NOT NULL);
\c

-- an outsider and a writer have no privilege
SET SESSION AUTHORIZATION go_outsider;
SELECT decision FROM make_go_no_go_decision();
SELECT decision FROM make_launch_decision();
SELECT decision FROM crewsnow_ops.decide('go_no_go');
SELECT crewsnow_ops.require_go();
SELECT count(*) FROM crewsnow_ops.explain_decision();
SELECT count(*) FROM crewsnow_ops.run_e2e_tests();
SELECT count(*) FROM crewsnow_ops.checklist();
SELECT crewsnow_ops.record_evidence('monitoring', true);
SELECT crewsnow_ops.waive_criterion('payments', 'x', now() + interval '1 day');
SELECT crewsnow_ops.approve_waiver(gen_random_uuid());
SELECT crewsnow_ops.revoke_waiver(gen_random_uuid());
SELECT crewsnow_ops.freeze_releases('x', now(), now() + interval '1 day');
SELECT crewsnow_ops.end_freeze(gen_random_uuid());
SELECT crewsnow_ops.register_e2e_test('x', 'pg_catalog.version()');
SELECT crewsnow_ops.remove_e2e_test('x');
SELECT crewsnow_ops.approve_criterion('payments');
SELECT count(*) FROM crewsnow_ops.criteria;
SELECT count(*) FROM crewsnow_ops.decisions;
SELECT count(*) FROM crewsnow_ops.evidence;
SET SESSION AUTHORIZATION go_writer;
SELECT decision FROM make_go_no_go_decision();
SELECT crewsnow_ops.record_evidence('monitoring', true);
SELECT count(*) FROM crewsnow_ops.decisions;

-- a reader reads decisions and explanations, but may not decide
SET SESSION AUTHORIZATION go_reader;
SELECT count(*) FROM crewsnow_ops.criteria;
SELECT count(*) FROM crewsnow_ops.decisions;
SELECT count(*) FROM crewsnow_ops.checklist('post-incident');
SELECT count(*) FROM crewsnow_ops.explain_decision();
SELECT decision FROM make_go_no_go_decision();
SELECT crewsnow_ops.record_evidence('monitoring', true);
UPDATE crewsnow_ops.criteria SET weight = 0;
INSERT INTO crewsnow_ops.evidence
SELECT gen_random_uuid(), 'monitoring', true, 'recorded', NULL, '{}', now(), NULL, 'x';

-- an operator decides, records and waives, but may not change criteria
SET SESSION AUTHORIZATION go_operator;
SELECT decision, readiness_score FROM make_go_no_go_decision();
SELECT decision, blockers_count FROM make_launch_decision();
SELECT crewsnow_ops.require_go('v1');
SELECT crewsnow_ops.record_evidence('monitoring', true) IS NOT NULL;
SELECT crewsnow_ops.waive_criterion('payments', 'x', now() + interval '1 day') IS NOT NULL;
SELECT crewsnow_ops.approve_waiver(id) FROM crewsnow_ops.waivers;
SELECT crewsnow_ops.end_freeze(crewsnow_ops.freeze_releases('x', now(), now() + interval '1 day'));
SELECT criterion, passed, recorded_by FROM crewsnow_ops.evidence;
SELECT crewsnow_ops.register_e2e_test('x', 'pg_catalog.version()');
SELECT crewsnow_ops.approve_criterion('payments');
UPDATE crewsnow_ops.criteria SET weight = 0;
INSERT INTO crewsnow_ops.decisions OVERRIDING USER VALUE SELECT * FROM crewsnow_ops.decisions;
INSERT INTO crewsnow_ops.evidence OVERRIDING USER VALUE SELECT * FROM crewsnow_ops.evidence;
UPDATE crewsnow_ops.waivers SET approved_by = 'another';
DELETE FROM crewsnow_ops.evidence;

-- a pipeline needs EXECUTE on require_go alone; the decision behind it demands the same
SET SESSION AUTHORIZATION go_reader;
SELECT crewsnow_ops.require_go('v1');
SELECT refusal_sqlstate FROM crewsnow_ops.require_go_decision('v1', 'go_no_go');
RESET SESSION AUTHORIZATION;
CREATE ROLE go_pipeline LOGIN;
GRANT USAGE ON SCHEMA crewsnow_ops TO go_pipeline;
GRANT EXECUTE ON FUNCTION crewsnow_ops.require_go TO go_pipeline;
SET SESSION AUTHORIZATION go_pipeline;
SELECT crewsnow_ops.require_go('v1');
SELECT refusal_sqlstate FROM crewsnow_ops.require_go_decision('v1', 'go_no_go');
SELECT crewsnow_ops.require_go('v1', NULL);
SELECT crewsnow_ops.require_go('v1', 'another');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT crewsnow_ops.require_go('v1');
ROLLBACK;
RESET SESSION AUTHORIZATION;
SELECT count(*) FROM crewsnow_ops.decisions WHERE decided_by = 'go_pipeline';

-- an admin changes criteria, and registers tests only as roles that the admin is a member of
SET SESSION AUTHORIZATION go_admin;
CREATE FUNCTION app.orders() RETURNS boolean LANGUAGE sql AS
    $$ SELECT current_user = 'go_client' AND session_user = 'go_operator' $$;
CREATE FUNCTION app.steals() RETURNS void LANGUAGE sql AS
    $$ INSERT INTO app.orders VALUES (1, current_user) $$;
SELECT crewsnow_ops.register_e2e_test('orders', 'app.orders()');
SELECT crewsnow_ops.register_e2e_test('steals', 'app.steals()');
SELECT crewsnow_ops.register_e2e_test('x', 'app.orders()', 'postgres');
SELECT crewsnow_ops.register_e2e_test('x', 'app.orders()', 'go_operator');
UPDATE crewsnow_ops.criteria SET weight = weight WHERE name = 'payments';
UPDATE crewsnow_ops.criteria SET weight = 24 WHERE name = 'payments';
SELECT name, weight, changed_by FROM crewsnow_ops.criteria WHERE changed_at IS NOT NULL;
SELECT crewsnow_ops.approve_criterion('payments');
UPDATE crewsnow_ops.criteria SET approved_by = 'another' WHERE name = 'payments';
UPDATE crewsnow_ops.criteria SET original = NULL, changed_by_users = '{}' WHERE name = 'payments';
SELECT original ->> 'weight' AS was, weight, changed_by_users, approved_by
FROM crewsnow_ops.criteria WHERE original IS NOT NULL;
RESET SESSION AUTHORIZATION;
SELECT crewsnow_ops.approve_criterion('payments');
SELECT crewsnow_ops.approve_criterion('monitoring');
SELECT changed_by_users, approved_by FROM crewsnow_ops.criteria WHERE original IS NOT NULL;
SET SESSION AUTHORIZATION go_admin;
INSERT INTO crewsnow_ops.criteria (name, category, weight, seeded, changed_at, changed_by)
VALUES ('mine', 'x', 1, true, '2020-01-01', 'another');
SELECT seeded, changed_at > now() - interval '1 hour', changed_by
FROM crewsnow_ops.criteria WHERE name = 'mine';
DELETE FROM crewsnow_ops.criteria WHERE name = 'mine';
UPDATE crewsnow_ops.criteria SET is_enabled = false WHERE name = 'mine';
RESET SESSION AUTHORIZATION;
SELECT crewsnow_ops.approve_criterion('mine');
SET SESSION AUTHORIZATION go_admin;
DELETE FROM crewsnow_ops.criteria WHERE name = 'mine';
INSERT INTO crewsnow_ops.evidence OVERRIDING USER VALUE SELECT * FROM crewsnow_ops.evidence;
UPDATE crewsnow_ops.waivers SET approved_by = 'another';
TRUNCATE crewsnow_ops.decisions;

-- a test has the privileges of its role, not those of the caller
SET SESSION AUTHORIZATION go_operator;
SELECT test, passed, error FROM crewsnow_ops.run_e2e_tests();
RESET SESSION AUTHORIZATION;
SELECT test, passed, error FROM crewsnow_ops.run_e2e_tests();
SELECT count(*) FROM app.orders;
SELECT crewsnow_ops.revoke_access('go_operator');
SET SESSION AUTHORIZATION go_operator;
SELECT decision FROM make_go_no_go_decision();
