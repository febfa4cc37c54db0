CREATE FUNCTION @extschema@.make_go_no_go_decision() RETURNS TABLE (
    decision text, readiness_score integer, critical_blockers integer, warnings integer,
    go_criteria_met boolean, next_actions text[], deployment_recommendation text, reasons text[],
    valid_until timestamptz, decision_id uuid
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'make_go_no_go_decision_wrapper';
COMMENT ON FUNCTION @extschema@.make_go_no_go_decision() IS
    'Decides whether a release may be deployed. GO needs no blocker, no waived blocker and 90 of '
    '100 points; GO_WITH_CAUTION needs no blocker and 70 points; otherwise NO_GO. A criterion '
    'without valid evidence is not met. Runs the registered end-to-end tests, which are rolled '
    'back, and the audit of row-level security. Stores the decision in crewsnow_ops.decisions. A '
    'read-only transaction and a standby store nothing; decision_id is NULL there. Error: 25001 in '
    'a REPEATABLE READ or SERIALIZABLE transaction.';

CREATE FUNCTION @extschema@.make_launch_decision() RETURNS TABLE (
    launch_ready boolean, blockers_count integer, warnings_count integer, readiness_score integer,
    decision text, next_steps text[], reasons text[], valid_until timestamptz, decision_id uuid
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'make_launch_decision_wrapper';
COMMENT ON FUNCTION @extschema@.make_launch_decision() IS
    'Decides whether the application may open to the public. Requires all criteria of '
    'make_go_no_go_decision and those of the gate launch: incidents, freezes, restore test, '
    'rollback and flags. READY FOR LAUNCH also needs zero warnings. Stores the decision as '
    'make_go_no_go_decision does. Error: 25001 in a REPEATABLE READ or SERIALIZABLE transaction.';

CREATE FUNCTION crewsnow_ops.decide(p_gate text, p_release text DEFAULT NULL) RETURNS TABLE (
    gate text, release text, decision text, is_go boolean, readiness_score integer,
    blockers integer, warnings integer, reasons text[], next_actions text[],
    valid_until timestamptz, decision_id uuid
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'decide_wrapper';
COMMENT ON FUNCTION crewsnow_ops.decide(text, text) IS
    'Decides for a gate (go_no_go or launch) and a release. Evidence and waivers of a release '
    'count for that release only; NULL excludes them all. Errors: 22004 NULL gate, 22023 unknown '
    'gate or a release of 0 or more than 200 characters, 25001 in a REPEATABLE READ or '
    'SERIALIZABLE transaction.';

CREATE FUNCTION crewsnow_ops.require_go_decision(p_release text, p_gate text) RETURNS TABLE (
    decision_id uuid, refusal_sqlstate text, message text, detail text, hint text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'require_go_decision_wrapper';
COMMENT ON FUNCTION crewsnow_ops.require_go_decision(text, text) IS
    'Internal: the decision behind crewsnow_ops.require_go, which is the function to call. Returns '
    'the id of a GO, or the SQLSTATE and texts of the error that require_go raises; a refusal is '
    'not kept. It demands EXECUTE on require_go (error 42501). Other errors as '
    'crewsnow_ops.decide.';

-- PL/pgSQL, because Rust can raise an SQLSTATE of the extension's own only as XX000. The wrapper
-- runs with the caller's privileges. So PUBLIC may execute the decision, which itself demands the
-- privilege on the wrapper: one GRANT, on require_go, is enough.
CREATE FUNCTION crewsnow_ops.require_go(
    p_release text DEFAULT NULL, p_gate text DEFAULT 'go_no_go'
) RETURNS uuid LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    SET standard_conforming_strings = on
    AS $require_go$
#variable_conflict error
DECLARE
    outcome record;
BEGIN
    SELECT d.decision_id, d.refusal_sqlstate, d.message, d.detail, d.hint INTO STRICT outcome
    FROM crewsnow_ops.require_go_decision(require_go.p_release, require_go.p_gate) AS d;
    IF outcome.refusal_sqlstate IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = outcome.refusal_sqlstate, MESSAGE = outcome.message,
            DETAIL = outcome.detail, HINT = outcome.hint;
    END IF;
    RETURN outcome.decision_id;
END
$require_go$;
COMMENT ON FUNCTION crewsnow_ops.require_go(text, text) IS
    'Decides, and fails unless the decision is GO (or READY FOR LAUNCH), so that psql -v '
    'ON_ERROR_STOP=1 stops a pipeline. Returns the decision''s id, or NULL if it could not be kept '
    '(standby, read-only transaction). Errors: NG001 NO_GO, NG002 GO_WITH_CAUTION, each with the '
    'reasons in the DETAIL and the first command in the HINT; a refused decision is not kept '
    '(crewsnow_ops.decide keeps it). 22004 NULL gate, 22023 and 25001 as crewsnow_ops.decide.';

CREATE FUNCTION crewsnow_ops.explain_decision(p_decision uuid DEFAULT NULL) RETURNS TABLE (
    criterion text, category text, weight integer, is_blocker boolean, status text,
    measurements text, evidence text, fresh_until timestamptz, waiver text, if_otherwise text,
    next_action text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'explain_decision_wrapper';
COMMENT ON FUNCTION crewsnow_ops.explain_decision(uuid) IS
    'Explains a stored decision, or the latest one for NULL: one row for each criterion. status is '
    'MET, FAILED, EXPIRED or NO_EVIDENCE. fresh_until is the end of validity. if_otherwise is the '
    'decision if this criterion alone were met instead of unmet, or unmet instead of met. '
    'evidence, waiver and next_action are NULL if there is none. Error: 42704 no such decision.';

CREATE FUNCTION crewsnow_ops.run_e2e_tests(p_name text DEFAULT NULL) RETURNS TABLE (
    test text, criterion text, passed boolean, milliseconds double precision, failed_step text,
    error text, steps jsonb
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'run_e2e_tests_wrapper';
COMMENT ON FUNCTION crewsnow_ops.run_e2e_tests(text) IS
    'Runs the end-to-end test of this name, or all for NULL, each in a subtransaction that is '
    'rolled back. milliseconds is the elapsed time. failed_step and error are NULL for a passed '
    'test. Errors: 42704 no such test, 25006 read-only transaction, 25001 in a REPEATABLE READ or '
    'SERIALIZABLE transaction.';

CREATE FUNCTION crewsnow_ops.register_e2e_test(
    p_name text, p_function regprocedure, p_role text DEFAULT NULL, p_claims jsonb DEFAULT '{}',
    p_criterion text DEFAULT 'e2e-tests', p_time_limit interval DEFAULT '10 seconds'
) RETURNS void LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'register_e2e_test_wrapper';

CREATE FUNCTION crewsnow_ops.checklist(p_checklist text DEFAULT NULL) RETURNS TABLE (
    checklist text, item text, phase text, due_within interval, task text, command text
) LANGUAGE c STABLE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'checklist_wrapper';
COMMENT ON FUNCTION crewsnow_ops.checklist(text) IS
    'Lists the items of one checklist, or of all for NULL. The extension ships post-incident and '
    'feature-flag-review; crewsnow_ops.checklist_items takes more. Error: 42704 no such checklist.';

COMMENT ON FUNCTION crewsnow_ops.approve_criterion(text) IS
    'Approves the present state of a criterion that another admin changed. Until then, a weakened '
    'blocker blocks each decision, and any other change is a warning. Errors: 22004 NULL argument, '
    '42704 unknown criterion, 55000 a criterion in its original state, 42501 own change, or a call '
    'that the session user did not type, 25006 read-only transaction.';
COMMENT ON FUNCTION crewsnow_ops.record_evidence(text, boolean, jsonb, interval, text) IS
    'Records evidence for or against a criterion, and returns its id. It applies to one release, '
    'or to each for NULL. Passing evidence is valid for p_valid_for, by default and at most '
    'fresh_for of the criterion. It does not replace a measurement. Failing evidence counts until '
    'its author or two users answer it with newer passing evidence of the same scope, each by a '
    'call that the user typed. Errors: 22004 NULL argument, 42704 '
    'unknown criterion, 22023 details that are not an object of at most 256 kB, a validity that is '
    'not positive or exceeds fresh_for, or a release of 0 or more than 200 characters, 25006 '
    'read-only transaction.';
COMMENT ON FUNCTION crewsnow_ops.waive_criterion(text, text, timestamptz, text) IS
    'Requests a waiver of a criterion for at most 30 days, and returns its id. It applies to one '
    'release, or to each for NULL. A waiver of a blocker takes effect once another user calls '
    'approve_waiver. Errors: 22004 NULL argument, 42704 unknown criterion, 22023 empty reason, '
    'expiry out of range or invalid release, 42501 a call that the session user did not type, '
    '25006 read-only transaction.';
COMMENT ON FUNCTION crewsnow_ops.approve_waiver(uuid) IS
    'Approves another user''s waiver. Errors: 22004 NULL argument, 42704 no such open waiver, '
    '42501 own waiver, or a call that the session user did not type, 25006 read-only transaction.';
COMMENT ON FUNCTION crewsnow_ops.revoke_waiver(uuid) IS
    'Revokes a waiver; an operator may revoke any waiver. Errors: 22004 NULL argument, 42704 no '
    'such open waiver, 25006 read-only transaction.';
COMMENT ON FUNCTION crewsnow_ops.freeze_releases(text, timestamptz, timestamptz) IS
    'Forbids releases and launches from p_starts_at to p_ends_at, exclusive, and returns the id of '
    'the freeze. Errors: 22004 NULL argument, 22023 empty reason, or times that are out of order, '
    'past or infinite, 25006 read-only transaction.';
COMMENT ON FUNCTION crewsnow_ops.end_freeze(uuid) IS
    'Ends a freeze now, or cancels one that has not begun. Errors: 22004 NULL argument, 42704 no '
    'such freeze that has not ended, 25006 read-only transaction.';
COMMENT ON FUNCTION
    crewsnow_ops.register_e2e_test(text, regprocedure, text, jsonb, text, interval) IS
    'Registers a function without arguments as an end-to-end test, or changes its registration. It '
    'runs as p_role (NULL: the setting crewsnow_ops.user_role) with the claims p_claims, for '
    'p_criterion, and for at most p_time_limit. The test fails if the function raises an error, '
    'returns false or NULL, or returns a line that begins with "not ok". A function with columns '
    'step and statement (optionally role and claims) returns a plan: its statements run in order, '
    'each as its role, and boolean results must be true. The session user and the owner of the '
    'function must be members of each role. Errors: 22004 NULL argument, 42704 unknown criterion '
    'or role, 42501 not a member, 42809 the function cannot be a test, 22023 a criterion without '
    'the measure tests, a time limit outside 1 ms to 10 minutes, or claims that are not an object, '
    '25006 read-only transaction.';
COMMENT ON FUNCTION crewsnow_ops.remove_e2e_test(text) IS
    'Removes an end-to-end test; its function stays. Errors: 22004 NULL argument, 42704 no such '
    'test, 25006 read-only transaction.';

REVOKE ALL ON FUNCTION
    @extschema@.make_go_no_go_decision(),
    @extschema@.make_launch_decision(),
    crewsnow_ops.decide(text, text),
    crewsnow_ops.require_go(text, text),
    crewsnow_ops.explain_decision(uuid),
    crewsnow_ops.run_e2e_tests(text),
    crewsnow_ops.checklist(text),
    crewsnow_ops.approve_criterion(text),
    crewsnow_ops.record_evidence(text, boolean, jsonb, interval, text),
    crewsnow_ops.waive_criterion(text, text, timestamptz, text),
    crewsnow_ops.approve_waiver(uuid),
    crewsnow_ops.revoke_waiver(uuid),
    crewsnow_ops.freeze_releases(text, timestamptz, timestamptz),
    crewsnow_ops.end_freeze(uuid),
    crewsnow_ops.register_e2e_test(text, regprocedure, text, jsonb, text, interval),
    crewsnow_ops.remove_e2e_test(text)
    FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.criteria'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.launch_plan'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.flags_off_plan'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.checklist_items'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.evidence'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.waivers'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.freezes'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.e2e_tests'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.decisions'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.explain_decision(uuid)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.checklist(text)'),
    ('operator', 'EXECUTE', 'FUNCTION', '@extschema@.make_go_no_go_decision()'),
    ('operator', 'EXECUTE', 'FUNCTION', '@extschema@.make_launch_decision()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.decide(text, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.require_go(text, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.run_e2e_tests(text)'),
    ('operator', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.record_evidence(text, boolean, jsonb, interval, text)'),
    ('operator', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.waive_criterion(text, text, timestamptz, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.approve_waiver(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.revoke_waiver(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.freeze_releases(text, timestamptz, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.end_freeze(uuid)'),
    ('admin', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.register_e2e_test(text, regprocedure, text, jsonb, text, interval)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.remove_e2e_test(text)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.approve_criterion(text)'),
    ('admin', 'INSERT, UPDATE, DELETE', 'TABLE', 'crewsnow_ops.criteria'),
    ('admin', 'INSERT, UPDATE, DELETE', 'TABLE', 'crewsnow_ops.launch_plan'),
    ('admin', 'INSERT, UPDATE, DELETE', 'TABLE', 'crewsnow_ops.checklist_items');
