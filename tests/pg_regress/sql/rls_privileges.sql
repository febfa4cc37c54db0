-- Privileges on the audit of row-level security, tried as each access level, and bad input.
\set VERBOSITY sqlstate
CREATE EXTENSION crewsnow_ops;
CREATE ROLE rls_outsider LOGIN;
CREATE ROLE rls_reader LOGIN;
CREATE ROLE rls_operator LOGIN;
CREATE ROLE rls_admin LOGIN;
CREATE ROLE rls_client NOLOGIN;
SELECT crewsnow_ops.grant_access('rls_' || level, level)
    FROM unnest(ARRAY['reader', 'operator', 'admin']) AS level;
ALTER DATABASE rls_privileges SET crewsnow_ops.user_role = 'rls_client';
ALTER DATABASE rls_privileges SET crewsnow_ops.anonymous_role = '';
ALTER DATABASE rls_privileges SET crewsnow_ops.users_table = 'app.accounts';
ALTER DATABASE rls_privileges SET crewsnow_ops.identity_functions = 'app.me()';
ALTER DATABASE rls_privileges SET crewsnow_ops.claims = 'app.me=sub';
CREATE SCHEMA app;
CREATE FUNCTION app.me() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('app.me', true), '')::uuid $$;
CREATE TABLE app.accounts (id uuid PRIMARY KEY);
CREATE TABLE app.notes (id integer PRIMARY KEY, user_id uuid REFERENCES app.accounts, note text);
CREATE VIEW app.view AS SELECT * FROM app.notes;
INSERT INTO app.accounts VALUES ('00000000-0000-4000-8000-000000000001'),
    ('00000000-0000-4000-8000-000000000002');
INSERT INTO app.notes SELECT row_number() OVER (), id, 'x' FROM app.accounts;
ALTER TABLE app.notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY open ON app.notes USING (true);
GRANT USAGE ON SCHEMA app TO rls_client;
GRANT SELECT ON app.notes TO rls_client;
\c

-- an outsider has no privilege
SET SESSION AUTHORIZATION rls_outsider;
SELECT count(*) FROM audit_all_rls_policies();
SELECT count(*) FROM generate_rls_checklist();
SELECT run_day1_database_security_audit();
SELECT count(*) FROM crewsnow_ops.audit_rls();
SELECT count(*) FROM crewsnow_ops.rls_worst();
SELECT crewsnow_ops.rls_finding('1');
SELECT count(*) FROM crewsnow_ops.rls_public_content();
SELECT count(*) FROM crewsnow_ops.rls_matrix();
SELECT count(*) FROM crewsnow_ops.effective_rls('pg_class');
SELECT count(*) FROM crewsnow_ops.trace_access(gen_random_uuid(), gen_random_uuid());
SELECT count(*) FROM crewsnow_ops.trace_row('pg_class', '{"oid": 1259}');
SELECT count(*) FROM crewsnow_ops.explain_denial(NULL, 'pg_class', '{"oid": 1259}');
SELECT crewsnow_ops.prove_remediation('x');
SELECT crewsnow_ops.accept_finding('x', 'x', now() + interval '1 day');
SELECT crewsnow_ops.record_rls_audit();
SELECT count(*) FROM crewsnow_ops.rls_drift();
SELECT count(*) FROM crewsnow_ops.rls_policy_facts();
SELECT count(*) FROM crewsnow_ops.rls_owner_columns();
SELECT count(*) FROM crewsnow_ops.rls_acceptances;
SELECT count(*) FROM crewsnow_ops.rls_runs;
SELECT count(*) FROM crewsnow_ops.rls_self_test_leaky;
SET crewsnow_ops.user_role = 'postgres';
SET crewsnow_ops.claims = 'role=sub';
SET crewsnow_ops.audit_time = '1h';

-- a reader reads the audit, but traces no user, proves no remediation and records nothing
SET SESSION AUTHORIZATION rls_reader;
SELECT count(*) FROM app.notes;
SELECT table_name, policy_name, policy_cmd, roles, status FROM audit_all_rls_policies()
    WHERE table_name = 'app.notes';
SELECT requirement, status FROM generate_rls_checklist() WHERE table_name = 'app.notes' ORDER BY 1;
SELECT run_day1_database_security_audit() LIKE 'Security audit of database%';
SELECT rule, severity, confidence, object FROM crewsnow_ops.audit_rls() WHERE rule = 'read-leak';
SELECT severity, rule, count, object FROM crewsnow_ops.rls_worst(1);
SELECT crewsnow_ops.rls_finding('1') LIKE 'CRITICAL PROVED read-leak%';
SELECT table_name, severity FROM crewsnow_ops.rls_public_content();
SELECT DISTINCT reach, role, verdict FROM crewsnow_ops.rls_matrix(
    (SELECT oid FROM pg_class WHERE relname = 'notes'));
SELECT command, is_granted, is_enforced, using_as_user
FROM crewsnow_ops.effective_rls((SELECT oid FROM pg_class WHERE relname = 'notes'), 'rls_client')
    WHERE command = 'SELECT';
SELECT count(*) FROM crewsnow_ops.rls_drift();
SELECT count(*) FROM crewsnow_ops.rls_policy_facts();
SELECT count(*) > 0 FROM crewsnow_ops.rls_owner_columns();
SELECT count(*) FROM crewsnow_ops.rls_acceptances;
SELECT count(*) FROM crewsnow_ops.trace_access(gen_random_uuid(), gen_random_uuid());
SELECT count(*) FROM crewsnow_ops.trace_row('pg_class', '{"oid": 1259}');
SELECT count(*) FROM crewsnow_ops.explain_denial(NULL, 'pg_class', '{"oid": 1259}');
SELECT crewsnow_ops.prove_remediation('x');
SELECT crewsnow_ops.record_rls_audit();
SELECT crewsnow_ops.accept_finding('x', 'x', now() + interval '1 day');
INSERT INTO crewsnow_ops.rls_acceptances VALUES ('x', now(), 'me', 'x', now());
INSERT INTO crewsnow_ops.rls_runs VALUES (gen_random_uuid());
SET crewsnow_ops.user_role = 'postgres';
SET search_path = '';
SELECT count(*) > 0 FROM crewsnow_ops.audit_rls();
RESET search_path;

-- an operator traces users, records audits, and proves remediations with its own privileges
SET SESSION AUTHORIZATION rls_operator;
SELECT access_path, object, reach, verdict, victim_rows
    FROM crewsnow_ops.trace_access(
        '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002')
    WHERE access_path = 'policy';
-- without SELECT on key and owner, it learns of no row, not even whether there is one
SELECT count(*) FROM crewsnow_ops.trace_row(
    (SELECT oid FROM pg_class WHERE relname = 'notes'), '{"id": 1}');
SELECT count(*) FROM crewsnow_ops.trace_row(
    (SELECT oid FROM pg_class WHERE relname = 'notes'), '{"id": 99}');
RESET SESSION AUTHORIZATION;
GRANT SELECT (id) ON app.notes TO rls_operator;
SET SESSION AUTHORIZATION rls_operator;
\set VERBOSITY default
SELECT count(*) FROM crewsnow_ops.trace_row(
    (SELECT oid FROM pg_class WHERE relname = 'notes'), '{"id": 1}');
\set VERBOSITY sqlstate
RESET SESSION AUTHORIZATION;
GRANT SELECT (user_id) ON app.notes TO rls_operator;
SET SESSION AUTHORIZATION rls_operator;
SELECT access_path, reach, reaches, through FROM crewsnow_ops.trace_row(
        (SELECT oid FROM pg_class WHERE relname = 'notes'), '{"id": 1}')
    WHERE reaches = 'YES' AND identity LIKE '% as a new account';
SELECT count(*) FROM crewsnow_ops.trace_row(
    (SELECT oid FROM pg_class WHERE relname = 'notes'), '{"note": "x"}');
SELECT status, cause, object FROM crewsnow_ops.explain_denial(
        '00000000-0000-4000-8000-000000000001',
        (SELECT oid FROM pg_class WHERE relname = 'notes'), '{"id": 1}', 'DELETE')
    WHERE status = 'DENIED';
SELECT crewsnow_ops.prove_remediation('read-leak policy "open" on app.notes');
SELECT crewsnow_ops.record_rls_audit() IS NOT NULL;
SELECT count(*) FROM crewsnow_ops.rls_drift();
SELECT crewsnow_ops.accept_finding('read-leak policy "open" on app.notes', 'x',
    now() + interval '1 day');
DELETE FROM crewsnow_ops.rls_runs;
DELETE FROM crewsnow_ops.rls_acceptances;

-- an admin accepts findings, but changes and deletes no acceptance
SET SESSION AUTHORIZATION rls_admin;
SELECT crewsnow_ops.accept_finding('read-leak policy "open" on app.notes', ' meant ',
    now() + interval '1 day');
SELECT finding, accepted_by, reason FROM crewsnow_ops.rls_acceptances;
SELECT accepted_reason FROM crewsnow_ops.audit_rls() WHERE rule = 'read-leak';
UPDATE crewsnow_ops.rls_acceptances SET expires_at = 'infinity';
DELETE FROM crewsnow_ops.rls_acceptances;
SET crewsnow_ops.user_role = 'postgres';

-- a superuser proves the remediation, and the policy stays as it was
RESET SESSION AUTHORIZATION;
SELECT crewsnow_ops.prove_remediation('read-leak policy "open" on app.notes');
SELECT polqual IS NOT NULL AND pg_get_expr(polqual, polrelid) = 'true' AS is_unchanged
    FROM pg_policy WHERE polrelid = 'app.notes'::regclass;

-- bad input
SELECT * FROM crewsnow_ops.effective_rls(NULL);
SELECT * FROM crewsnow_ops.effective_rls('app.notes', 'no_such_role');
SELECT * FROM crewsnow_ops.effective_rls('app.view');
SELECT * FROM crewsnow_ops.effective_rls('public.no_such');
SELECT count(*) FROM crewsnow_ops.effective_rls('app.notes', 'rls_client', 'not a uuid');
SELECT count(*) FROM crewsnow_ops.effective_rls('app.notes', NULL, '');
SELECT count(*) FROM crewsnow_ops.rls_matrix('app.view');
SELECT count(*) FROM crewsnow_ops.rls_matrix(4294967295::oid::regclass);
SELECT * FROM crewsnow_ops.trace_access(NULL, gen_random_uuid());
SELECT * FROM crewsnow_ops.trace_access(gen_random_uuid(), NULL);
SELECT * FROM crewsnow_ops.trace_access('00000000-0000-4000-8000-000000000001',
    '00000000-0000-4000-8000-000000000001');
SELECT count(*) FROM crewsnow_ops.trace_access(gen_random_uuid(), gen_random_uuid());
SELECT * FROM crewsnow_ops.trace_row(NULL, '{"id": 1}');
SELECT * FROM crewsnow_ops.trace_row('app.notes', NULL);
SELECT * FROM crewsnow_ops.trace_row('app.view', '{"id": 1}');
SELECT * FROM crewsnow_ops.trace_row('app.notes', '{}');
SELECT * FROM crewsnow_ops.trace_row('app.notes', '[1]');
SELECT * FROM crewsnow_ops.trace_row('app.notes', '1');
SELECT * FROM crewsnow_ops.trace_row('app.notes', 'null');
SELECT * FROM crewsnow_ops.trace_row('app.notes', '{"id": 99}');
SELECT * FROM crewsnow_ops.trace_row('app.notes', '{"note": "x"}');
SELECT * FROM crewsnow_ops.trace_row('app.notes', '{"id": "not a number"}');
SELECT * FROM crewsnow_ops.trace_row('app.notes', '{"id": null}');
SELECT * FROM crewsnow_ops.trace_row('app.notes', '{"id = 1 OR true --": 1}');
SELECT * FROM crewsnow_ops.trace_row('app.notes', '{"ctid": "(0,1)"}');
SELECT crewsnow_ops.prove_remediation(NULL);
SELECT crewsnow_ops.prove_remediation('');
SELECT crewsnow_ops.prove_remediation('read-leak policy "open" on app.note');
SELECT count(*) FROM crewsnow_ops.rls_worst(0);
SELECT count(*) FROM crewsnow_ops.rls_worst(-1);
SELECT count(*) > 0 FROM crewsnow_ops.rls_worst(NULL);
SELECT crewsnow_ops.rls_finding(NULL);
SELECT crewsnow_ops.rls_finding('');
SELECT crewsnow_ops.rls_finding('0');
SELECT crewsnow_ops.rls_finding('99999999999999999999');
SELECT crewsnow_ops.accept_finding('app.accounts', 'x', now() + interval '1 day');
SELECT crewsnow_ops.accept_finding('app.view', 'x', now() + interval '1 day');
SELECT crewsnow_ops.accept_finding('', 'x', now() + interval '1 day');
SELECT crewsnow_ops.accept_finding(NULL, 'x', now() + interval '1 day');
SELECT crewsnow_ops.accept_finding('x', NULL, now() + interval '1 day');
SELECT crewsnow_ops.accept_finding('x', 'x', NULL);
SELECT crewsnow_ops.accept_finding('x', 'x', now() + interval '1 day');
SELECT crewsnow_ops.accept_finding('read-leak policy "open" on app.notes', '  ',
    now() + interval '1 day');
SELECT crewsnow_ops.accept_finding('read-leak policy "open" on app.notes', 'x',
    now() - interval '1 second');
SELECT crewsnow_ops.accept_finding('read-leak policy "open" on app.notes', 'x',
    now() + interval '2 years');
SELECT crewsnow_ops.accept_finding('read-leak policy "open" on app.notes', 'x', 'infinity');
SELECT crewsnow_ops.accept_finding('read-leak policy "open" on app.notes', 'x', '-infinity');
SELECT count(*) FROM crewsnow_ops.rls_drift(gen_random_uuid());
SELECT count(*) FROM crewsnow_ops.rls_acceptances;
BEGIN READ ONLY;
SELECT crewsnow_ops.accept_finding('read-leak policy "open" on app.notes', 'x',
    now() + interval '1 day');
ROLLBACK;
BEGIN READ ONLY;
SELECT crewsnow_ops.record_rls_audit();
ROLLBACK;
BEGIN READ ONLY;
SELECT crewsnow_ops.prove_remediation('read-leak policy "open" on app.notes');
ROLLBACK;
-- settings with names that do not exist
BEGIN;
SET LOCAL crewsnow_ops.users_table = 'no.such';
SELECT count(*) > 0 FROM crewsnow_ops.audit_rls();
-- an error up to PostgreSQL 15; since 16, a name that does not exist
SET LOCAL crewsnow_ops.users_table = 'not a name (';
DO $$ BEGIN PERFORM FROM crewsnow_ops.audit_rls();
    EXCEPTION WHEN invalid_name OR invalid_text_representation THEN NULL; END $$;
ROLLBACK;
BEGIN;
-- an error up to PostgreSQL 15; since 16, a name that does not exist
SET LOCAL crewsnow_ops.identity_functions = 'no.such(), rubbish, (';
DO $$ BEGIN PERFORM FROM crewsnow_ops.audit_rls();
    EXCEPTION WHEN invalid_name OR invalid_text_representation THEN NULL; END $$;
ROLLBACK;
BEGIN;
SET LOCAL crewsnow_ops.claims = 'no_dot=sub,=,x,work_mem=sub';
SELECT count(*) > 0 FROM crewsnow_ops.audit_rls();
ROLLBACK;
BEGIN;
SET LOCAL crewsnow_ops.user_role = 'no_such_role';
SELECT rule, severity FROM crewsnow_ops.audit_rls() WHERE rule = 'no-clients';
SELECT regexp_replace(run_day1_database_security_audit(), '.*\n', '') <> 'ALL CHECKS PASSED';
ROLLBACK;
