CREATE FUNCTION @extschema@.audit_all_rls_policies() RETURNS TABLE (
    table_name text, policy_name text, policy_cmd text, roles text[], status text,
        security_level text, issues text[]
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'audit_all_rls_policies_wrapper';
COMMENT ON FUNCTION @extschema@.audit_all_rls_policies() IS
    'One row per policy, and one per table that has no policy, has row-level security off, or has '
    'findings of its own. VULNERABLE: proved or observed that client roles reach foreign rows. '
    'NEEDS_REVIEW: a person has to review it. PUBLIC_READ_OK: public reading, accepted by '
    'accept_finding. Read-only; works on a standby.';

CREATE FUNCTION @extschema@.generate_rls_checklist() RETURNS TABLE (
    requirement text, table_name text, status text, policy_exists boolean, auth_uid_check boolean,
        recommendation text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'generate_rls_checklist_wrapper';
COMMENT ON FUNCTION @extschema@.generate_rls_checklist() IS
    'The requirements for each table that client roles reach, and one row for each access path '
    'that bypasses policies: SECURE, NEEDS_REVIEW, MISSING or VULNERABLE. An accepted finding '
    'reads SECURE, and recommendation says so.';

CREATE FUNCTION @extschema@.run_day1_database_security_audit() RETURNS text LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'run_day1_database_security_audit_wrapper';
COMMENT ON FUNCTION @extschema@.run_day1_database_security_audit() IS
    'The whole audit as a report, with the remediation below each finding. The last line is ALL '
    'CHECKS PASSED, or counts the failed or inconclusive checks.';

CREATE FUNCTION crewsnow_ops.audit_rls() RETURNS TABLE (
    finding text, rule text, severity crewsnow_ops.rls_severity, confidence text, object text,
        detail text, evidence text, remediation text,
    accepted_until text, accepted_reason text, lint text, cache_key text, doc text, objects text[],
        cache_keys text[]
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'audit_rls_wrapper';
COMMENT ON FUNCTION crewsnow_ops.audit_rls() IS
    'All findings of the security audit, worst first: defect, confidence (PROVED by the quals that '
    'the server enforces, OBSERVED in a row, SUSPECTED), evidence, remediation as SQL, and the key '
    'of the same lint in Supabase''s linter. Findings with one root cause are one row, with all '
    'their objects and keys. Read-only.';

CREATE FUNCTION crewsnow_ops.rls_worst(p_limit integer DEFAULT 10) RETURNS TABLE (
    place integer, severity crewsnow_ops.rls_severity, rule text, count integer, object text,
        summary text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'rls_worst_wrapper';
COMMENT ON FUNCTION crewsnow_ops.rls_worst(integer) IS
    'The worst findings without an acceptance, one line each, for a terminal of 120 columns; NULL '
    'lists all. Findings about the same policy are one line. rls_finding prints the whole text of '
    'a line, by its place. Read-only.';

CREATE FUNCTION crewsnow_ops.rls_finding(p_finding text) RETURNS text LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'rls_finding_wrapper';
COMMENT ON FUNCTION crewsnow_ops.rls_finding(text) IS
    'One finding as a page: objects, defect, evidence, remediation, and the statement that accepts '
    'it. p_finding is its name in audit_rls, or its place in rls_worst. Read-only. Errors: 22004 '
    'NULL argument, 42704 unknown finding.';

CREATE FUNCTION crewsnow_ops.rls_public_content() RETURNS TABLE (
    table_name text, severity crewsnow_ops.rls_severity, evidence text, statement text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'rls_public_content_wrapper';
COMMENT ON FUNCTION crewsnow_ops.rls_public_content() IS
    'Tables whose content is meant to be public by all appearances: every user reads them by a '
    'policy without a condition, the name says so, and no column is private by name. Each with '
    'the statement that accepts it, worst first, for a person to review. Accepts nothing itself.';

CREATE FUNCTION crewsnow_ops.rls_matrix(p_relation regclass DEFAULT NULL) RETURNS TABLE (
    relation text, reach text, role text, identity text, verdict text, confidence text,
        using_expression text, check_expression text,
    policies text[], remark text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'rls_matrix_wrapper';
COMMENT ON FUNCTION crewsnow_ops.rls_matrix(regclass) IS
    'Verdicts for each table (or one), reach and identity, with the quals that the server '
    'enforces, folded for the identity. Verdicts: ISOLATED, SHARED, PUBLIC, LEAK, CLOSED, EXEMPT, '
    'FAILING or INCONCLUSIVE.';

CREATE FUNCTION crewsnow_ops.effective_rls(p_relation regclass, p_role text DEFAULT NULL,
    p_user text DEFAULT NULL) RETURNS TABLE (
    command text, role text, is_granted boolean, is_enforced boolean, using_expression text,
        check_expression text,
    using_as_user text, check_as_user text, error text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'effective_rls_wrapper';
COMMENT ON FUNCTION crewsnow_ops.effective_rls(regclass, text, text) IS
    'The quals that the server''s rewriter adds for the client roles: all policies of a command '
    'combined, and the same folded for the user p_user (NULL: a request without claims). Errors: '
    '22004 NULL relation, 22P02 p_user is not a user id, 42704 not a client role, 42809 not a '
    'table.';

CREATE FUNCTION crewsnow_ops.prove_remediation(p_finding text) RETURNS text LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'prove_remediation_wrapper';
COMMENT ON FUNCTION crewsnow_ops.prove_remediation(text) IS
    'Tries the remediation of a finding with the privileges of the caller, audits again, and rolls '
    'back. Compares all reaches of all identities, the rows of owners and team members, and the '
    'privileges of the client roles. Begins with PROVED, CLOSES IT, and takes (a list), CLOSES TOO '
    'MUCH, DOES NOT CLOSE IT, OPENS, tried; INCONCLUSIVE, or not tried. Holds the locks of the '
    'remediation for a moment and waits 0.2 s for them at most. Errors: 22004 NULL argument, 42704 '
    'unknown finding.';

CREATE FUNCTION crewsnow_ops.rls_drift(p_run uuid DEFAULT NULL) RETURNS TABLE (
    change text, object text, before text, after text, since timestamptz
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'rls_drift_wrapper';
COMMENT ON FUNCTION crewsnow_ops.rls_drift(uuid) IS
    'Differences from the stored audit p_run (NULL: the latest): verdicts WIDENED, NARROWED or '
    'CHANGED, findings OPENED or CLOSED.';

CREATE FUNCTION crewsnow_ops.trace_access(p_reader uuid, p_victim uuid) RETURNS TABLE (
    access_path text, object text, reach text, verdict text, identity text, victim_rows bigint,
        other_rows bigint, other_users bigint,
    through text[], evidence text, remediation text, proof text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'trace_access_wrapper';
COMMENT ON FUNCTION crewsnow_ops.trace_access(uuid, uuid) IS
    'Every access path by which a reader reaches rows of a victim now: policies, tables without '
    'row-level security, views, functions, and findings of rules about these tables; for requests '
    'without an account, too. LEAK: unrelated users reach the rows. SHARED: only related users do. '
    'victim_rows is counted up to 1001, other_rows up to 10000. Includes the responsible policies '
    'and a remediation, which is tried with the privileges of the caller and rolled back. Errors: '
    '22004 NULL argument, 22023 twice the same user.';

CREATE FUNCTION crewsnow_ops.trace_row(p_relation regclass, p_key jsonb) RETURNS TABLE (
    access_path text, reach text, role text, identity text, reaches text, through text[],
        evidence text, remediation text, proof text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'trace_row_wrapper';
COMMENT ON FUNCTION crewsnow_ops.trace_row(regclass, jsonb) IS
    'The identities that reach one row, given by column names and values: requests without an '
    'account, a new account, owners of referenced rows, and a sample of other users. YES with the '
    'responsible policies, OWN, INCONCLUSIVE, or NO with the number of refused identities. Leaks '
    'to requests without an account or to new accounts come with a remediation, tried and rolled '
    'back. Errors: 22004 NULL argument, 22023 the key matches no row or several that the caller '
    'may see, 42501 no SELECT on the columns of the key and of the owner, 42809 not a table.';

CREATE FUNCTION crewsnow_ops.explain_denial(p_user uuid, p_relation regclass, p_key_or_row jsonb,
    p_command text DEFAULT 'SELECT') RETURNS TABLE (
    step integer, status text, cause text, object text, remediation text, explanation text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'explain_denial_wrapper';
COMMENT ON FUNCTION crewsnow_ops.explain_denial(uuid, regclass, jsonb, text) IS
    'The reason why a user (NULL: an anonymous request) cannot SELECT, INSERT, UPDATE or DELETE a '
    'row of a table or view. The steps are the server''s own checks in their order; the first row '
    'DENIED is the cause. One row ALLOWED: every check passes. p_key_or_row holds the key of the '
    'row, for INSERT the new row, for UPDATE the primary key and the new values. Values of the row '
    'are shown only to callers who may read them. Read-only; fires no trigger. Errors: 22004 NULL '
    'argument, 22023 unknown command, or a key or row that does not fit, 42809 not a table or '
    'view.';

-- An audit runs many small statements once, so compiling them costs seconds and saves nothing.
ALTER FUNCTION crewsnow_ops.record_rls_audit() SET lock_timeout = '200ms';
ALTER FUNCTION crewsnow_ops.record_rls_audit() SET jit = off;
ALTER FUNCTION crewsnow_ops.accept_finding(text, text, timestamptz) SET jit = off;
COMMENT ON FUNCTION crewsnow_ops.record_rls_audit() IS
    'Stores an audit for rls_drift; the last hundred are kept. Returns its id. Error 25006 '
    'read-only.';
COMMENT ON FUNCTION crewsnow_ops.accept_finding(text, text, timestamptz) IS
    'Accepts a finding of the audit, with a reason, for at most one year. Recorded in '
    'rls_acceptances. The name of a table accepts that all of its rows are readable, for all '
    'identities, until a worse finding about it opens. Errors: 22004 NULL argument, 22023 no '
    'reason, or an expiry in the past or too far, 42704 unknown finding, or a table that is not '
    'readable by all, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.rls_policy_facts() IS
    'Facts about each clause of each policy, read from its expression tree: columns, functions, '
    'tables, claims and constants. A clause that could not be analysed has no row. For the rules '
    'of the audit.';
COMMENT ON FUNCTION crewsnow_ops.rls_owner_columns() IS
    'Owner columns of tables, found by foreign key to the accounts, by a policy that compares them '
    'with the identity, or by name. For the rules of the audit.';

REVOKE ALL ON FUNCTION
    @extschema@.audit_all_rls_policies(), @extschema@.generate_rls_checklist(),
        @extschema@.run_day1_database_security_audit(),
    crewsnow_ops.audit_rls(), crewsnow_ops.rls_worst(integer), crewsnow_ops.rls_finding(text),
        crewsnow_ops.rls_public_content(), crewsnow_ops.rls_matrix(regclass),
        crewsnow_ops.trace_access(uuid, uuid),
    crewsnow_ops.trace_row(regclass, jsonb),
        crewsnow_ops.explain_denial(uuid, regclass, jsonb, text),
        crewsnow_ops.effective_rls(regclass, text, text),
        crewsnow_ops.prove_remediation(text), crewsnow_ops.rls_drift(uuid),
        crewsnow_ops.record_rls_audit(),
    crewsnow_ops.accept_finding(text, text, timestamptz), crewsnow_ops.rls_policy_facts(),
        crewsnow_ops.rls_owner_columns()
    FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'EXECUTE', 'FUNCTION', '@extschema@.audit_all_rls_policies()'),
    ('reader', 'EXECUTE', 'FUNCTION', '@extschema@.generate_rls_checklist()'),
    ('reader', 'EXECUTE', 'FUNCTION', '@extschema@.run_day1_database_security_audit()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.audit_rls()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.rls_worst(integer)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.rls_finding(text)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.rls_public_content()'),
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
    ('operator', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.explain_denial(uuid, regclass, jsonb, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.record_rls_audit()'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.accept_finding(text, text, timestamptz)');
