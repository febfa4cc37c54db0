CREATE FUNCTION @extschema@.audit_all_rls_policies() RETURNS TABLE (
    table_name text, policy_name text, policy_cmd text, roles text[], status text, security_level text, issues text[]
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'audit_all_rls_policies_wrapper';
COMMENT ON FUNCTION @extschema@.audit_all_rls_policies() IS
'A row a policy, and one a table that has none, has row-level security off or leaks past its policies. VULNERABLE: proved or seen that clients reach what is not theirs. NEEDS_REVIEW: a person has to look. PUBLIC_READ_OK: meant to be public, accepted by accept_finding. Read-only; works on a standby.';

CREATE FUNCTION @extschema@.generate_rls_checklist() RETURNS TABLE (
    requirement text, table_name text, status text, policy_exists boolean, auth_uid_check boolean, recommendation text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'generate_rls_checklist_wrapper';
COMMENT ON FUNCTION @extschema@.generate_rls_checklist() IS
'What must hold for each table that clients reach, and a row for each door beside the policies: SECURE, NEEDS_REVIEW, MISSING or VULNERABLE. What was accepted and has not expired is SECURE, and recommendation says so.';

CREATE FUNCTION @extschema@.run_day1_database_security_audit() RETURNS text LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'run_day1_database_security_audit_wrapper';
COMMENT ON FUNCTION @extschema@.run_day1_database_security_audit() IS
'The whole audit as a report, the SQL that closes it below each finding. Its last line is ALL CHECKS PASSED, or counts what failed, or what could not be told.';

CREATE FUNCTION crewsnow_ops.audit_rls() RETURNS TABLE (
    finding text, rule text, severity text, confidence text, object text, detail text, evidence text, remediation text,
    accepted_until text, accepted_reason text, lint text, cache_key text, doc text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'audit_rls_wrapper';
COMMENT ON FUNCTION crewsnow_ops.audit_rls() IS
'All findings of the security audit, the worst first: what is wrong, how sure that is (PROVED by what the server enforces, OBSERVED in a row, SUSPECTED), the facts, SQL that closes it, and what Supabase''s linter calls it. Read-only.';

CREATE FUNCTION crewsnow_ops.rls_matrix(p_relation regclass DEFAULT NULL) RETURNS TABLE (
    relation text, reach text, role text, identity text, verdict text, confidence text, using_expression text, check_expression text,
    policies text[], remark text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'rls_matrix_wrapper';
COMMENT ON FUNCTION crewsnow_ops.rls_matrix(regclass) IS
'Who can read, change, take over, forge and delete whose rows: for each table (or one), reach and identity the verdict, and the condition that the server enforces with what is known of the identity put in. ISOLATED, SHARED, PUBLIC, LEAK, CLOSED, EXEMPT, FAILING or INCONCLUSIVE.';

CREATE FUNCTION crewsnow_ops.effective_rls(p_relation regclass, p_role text DEFAULT NULL, p_user text DEFAULT NULL) RETURNS TABLE (
    command text, role text, is_granted boolean, is_enforced boolean, using_expression text, check_expression text,
    using_as_user text, check_as_user text, error text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'effective_rls_wrapper';
COMMENT ON FUNCTION crewsnow_ops.effective_rls(regclass, text, text) IS
'What the server enforces on a table for the roles of requests, by its own rewriting: per command all policies as they combine, and the same as a user, or without p_user as nobody, with their identity put in. Errors: 22004 NULL argument, 22P02 p_user is no id, 42704 no role of requests, 42809 not a table.';

CREATE FUNCTION crewsnow_ops.prove_remediation(p_finding text) RETURNS text LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'prove_remediation_wrapper';
COMMENT ON FUNCTION crewsnow_ops.prove_remediation(text) IS
'Tries the remediation of a finding with the caller''s rights, audits again, and takes it back: whether it closes the finding and leaves owners what is theirs. Takes for a moment the locks that the remediation takes, waits for them 0.2 s at most. Errors: 22004 NULL argument, 42704 the audit finds no such thing.';

CREATE FUNCTION crewsnow_ops.rls_drift(p_run uuid DEFAULT NULL) RETURNS TABLE (
    change text, object text, before text, after text, since timestamptz
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'rls_drift_wrapper';
COMMENT ON FUNCTION crewsnow_ops.rls_drift(uuid) IS
'What is not as it was when record_rls_audit kept this run, or the last one: verdicts WIDENED, NARROWED or CHANGED, findings OPENED or CLOSED.';

CREATE FUNCTION crewsnow_ops.trace_access(p_reader uuid, p_victim uuid) RETURNS TABLE (
    access_path text, object text, reach text, verdict text, identity text, victim_rows bigint, other_rows bigint, other_users bigint,
    through text[], evidence text, remediation text, proof text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'trace_access_wrapper';
COMMENT ON FUNCTION crewsnow_ops.trace_access(uuid, uuid) IS
'Every door through which a reader reaches a victim''s rows, now: policies, tables without row-level security, views, functions, and what the rules know of these tables; also without signing in. LEAK: others than these two get through; SHARED: through what connects them. How many of the victim''s rows (at most 1001), of how many others (at most 10000 rows); the policies to blame; the smallest correction, which is tried with the caller''s rights and taken back. Errors: 22004 NULL argument, 22023 twice the same user.';

CREATE FUNCTION crewsnow_ops.trace_row(p_relation regclass, p_key jsonb) RETURNS TABLE (
    access_path text, reach text, role text, identity text, reaches text, through text[], evidence text, remediation text, proof text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'trace_row_wrapper';
COMMENT ON FUNCTION crewsnow_ops.trace_row(regclass, jsonb) IS
'Who reaches one row, named by columns and values: requests without an account, somebody who has just signed up, those whose rows it refers to, and some other users: YES with the policies that let it through, OWN, INCONCLUSIVE, and how many were refused. What lets those in who have no account, or a new one, comes with the smallest correction, tried and taken back. Errors: 22004 NULL argument, 22023 the key names no row or several, 42809 not a table.';

COMMENT ON FUNCTION crewsnow_ops.record_rls_audit() IS
'Keeps an audit, for rls_drift to compare with; the last hundred stay. Returns the run. Error 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.accept_finding(text, text, timestamptz) IS
'Accepts a finding of the audit, with a reason, for at most a year. Recorded in rls_acceptances. Errors: 22004 NULL argument, 22023 no reason or a time that is past or too far, 42704 the audit finds no such thing, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.rls_policy_facts() IS
'What each clause of each policy is made of, read from its expression tree: columns, functions, tables, claims and constants. For the rules of the audit.';
COMMENT ON FUNCTION crewsnow_ops.rls_owner_columns() IS
'Which columns say whose a row is: by foreign key to the accounts, by a policy that compares them with who asks, or by name. For the rules of the audit.';

REVOKE ALL ON FUNCTION
    @extschema@.audit_all_rls_policies(), @extschema@.generate_rls_checklist(), @extschema@.run_day1_database_security_audit(),
    crewsnow_ops.audit_rls(), crewsnow_ops.rls_matrix(regclass), crewsnow_ops.trace_access(uuid, uuid),
    crewsnow_ops.trace_row(regclass, jsonb), crewsnow_ops.effective_rls(regclass, text, text), crewsnow_ops.prove_remediation(text), crewsnow_ops.rls_drift(uuid), crewsnow_ops.record_rls_audit(),
    crewsnow_ops.accept_finding(text, text, timestamptz), crewsnow_ops.rls_policy_facts(), crewsnow_ops.rls_owner_columns()
    FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'EXECUTE', 'FUNCTION', '@extschema@.audit_all_rls_policies()'),
    ('reader', 'EXECUTE', 'FUNCTION', '@extschema@.generate_rls_checklist()'),
    ('reader', 'EXECUTE', 'FUNCTION', '@extschema@.run_day1_database_security_audit()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.audit_rls()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.rls_matrix(regclass)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.effective_rls(regclass, text, text)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.rls_drift(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.prove_remediation(text)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.rls_policy_facts()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.rls_owner_columns()'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.rls_acceptances'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.rls_runs'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.rls_run_findings'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.rls_run_verdicts'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.trace_access(uuid, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.trace_row(regclass, jsonb)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.record_rls_audit()'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.accept_finding(text, text, timestamptz)');
