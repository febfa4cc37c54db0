CREATE FUNCTION @extschema@.make_go_no_go_decision() RETURNS TABLE (
    decision text, readiness_score integer, critical_blockers integer, warnings integer, go_criteria_met boolean,
    next_actions text[], deployment_recommendation text, reasons text[], valid_until timestamptz, decision_id uuid
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'make_go_no_go_decision_wrapper';
COMMENT ON FUNCTION @extschema@.make_go_no_go_decision() IS
'Whether a release can go out, on evidence gathered now: GO without a blocker and with 90 of 100 points, GO_WITH_CAUTION with 70, NO_GO otherwise. Runs the registered end-to-end tests, which leave nothing behind, and audits row-level security. What there is no fresh evidence for is not met. Kept in crewsnow_ops.decisions; in a read-only transaction and on a standby it answers all the same, and says that it was not kept. Error 25001 in a REPEATABLE READ transaction.';

CREATE FUNCTION @extschema@.make_launch_decision() RETURNS TABLE (
    launch_ready boolean, blockers_count integer, warnings_count integer, readiness_score integer, decision text, next_steps text[],
    reasons text[], valid_until timestamptz, decision_id uuid
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'make_launch_decision_wrapper';
COMMENT ON FUNCTION @extschema@.make_launch_decision() IS
'Whether the application can be opened to the public: all that make_go_no_go_decision asks for, and incidents, freezes, restore test, rollback and flags. READY FOR LAUNCH only without any warning.';

CREATE FUNCTION crewsnow_ops.decide(p_gate text, p_release text DEFAULT NULL) RETURNS TABLE (
    gate text, release text, decision text, is_go boolean, readiness_score integer, blockers integer, warnings integer,
    reasons text[], next_actions text[], valid_until timestamptz, decision_id uuid
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'decide_wrapper';
COMMENT ON FUNCTION crewsnow_ops.decide(text, text) IS
'A decision, go_no_go or launch, about a release: evidence and waivers that name a release count for that one alone. Errors: 22004 NULL gate, 22023 unknown gate or a release of no or more than 200 characters, 25001 in a REPEATABLE READ transaction.';

CREATE FUNCTION crewsnow_ops.require_go_decision(p_release text, p_gate text) RETURNS TABLE (
    decision_id uuid, refusal_sqlstate text, message text, detail text, hint text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'require_go_decision_wrapper';
COMMENT ON FUNCTION crewsnow_ops.require_go_decision(text, text) IS
'Internal: the decision behind crewsnow_ops.require_go, which is the function to call. Returns the id of a GO, or the SQLSTATE and texts of the error that require_go raises; a refusal is not kept. It demands EXECUTE on require_go (error 42501). Other errors as crewsnow_ops.decide.';

-- PL/pgSQL, because an SQLSTATE of the extension's own passes through Rust only as XX000. The wrapper runs with the caller's privileges,
-- so PUBLIC may execute the decision, which itself demands the privilege on the wrapper: one GRANT, on require_go, is enough.
CREATE FUNCTION crewsnow_ops.require_go(p_release text DEFAULT NULL, p_gate text DEFAULT 'go_no_go') RETURNS uuid LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off SET standard_conforming_strings = on
    AS $require_go$
#variable_conflict error
DECLARE
    outcome record;
BEGIN
    SELECT d.decision_id, d.refusal_sqlstate, d.message, d.detail, d.hint INTO STRICT outcome
    FROM crewsnow_ops.require_go_decision(require_go.p_release, require_go.p_gate) AS d;
    IF outcome.refusal_sqlstate IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = outcome.refusal_sqlstate, MESSAGE = outcome.message, DETAIL = outcome.detail, HINT = outcome.hint;
    END IF;
    RETURN outcome.decision_id;
END
$require_go$;
COMMENT ON FUNCTION crewsnow_ops.require_go(text, text) IS
'Decides, and fails unless the decision is GO (or READY FOR LAUNCH), so that psql -v ON_ERROR_STOP=1 stops a pipeline. Returns the decision''s id, or NULL if it could not be kept (standby, read-only transaction). Errors: NG001 NO_GO, NG002 GO_WITH_CAUTION, each with the reasons in the DETAIL and the first command in the HINT; a refused decision is not kept (crewsnow_ops.decide keeps it). 22004 NULL gate, 22023 and 25001 as crewsnow_ops.decide.';

CREATE FUNCTION crewsnow_ops.explain_decision(p_decision uuid DEFAULT NULL) RETURNS TABLE (
    criterion text, category text, weight integer, is_blocker boolean, standing text, measurements text, evidence text, fresh_until timestamptz,
    waiver text, if_otherwise text, next_action text
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'explain_decision_wrapper';
COMMENT ON FUNCTION crewsnow_ops.explain_decision(uuid) IS
'What a kept decision, or the last one, rests on: each criterion, how it stood (MET, FAILED, EXPIRED, NO_EVIDENCE), what was seen, until when that could be relied on, a waiver, and what the decision would be if this criterion alone were the other way round. Error 42704 no such decision.';

CREATE FUNCTION crewsnow_ops.run_e2e_tests(p_name text DEFAULT NULL) RETURNS TABLE (
    test text, criterion text, passed boolean, milliseconds double precision, failed_step text, error text, steps jsonb
) LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off SET standard_conforming_strings = on
    AS 'MODULE_PATHNAME', 'run_e2e_tests_wrapper';
COMMENT ON FUNCTION crewsnow_ops.run_e2e_tests(text) IS
'Runs the registered end-to-end tests, or one, each in a subtransaction that is undone, and says how each step went. Errors: 42704 no such test, 25006 read-only, 25001 in a REPEATABLE READ transaction.';

CREATE FUNCTION crewsnow_ops.register_e2e_test(
    p_name text, p_function regprocedure, p_role text DEFAULT NULL, p_claims jsonb DEFAULT '{}', p_criterion text DEFAULT 'e2e-tests',
    p_time_limit interval DEFAULT '10 seconds'
) RETURNS void LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'register_e2e_test_wrapper';

CREATE FUNCTION crewsnow_ops.checklist(p_checklist text DEFAULT NULL) RETURNS TABLE (
    checklist text, item text, phase text, due_within interval, task text, command text
) LANGUAGE c STABLE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'checklist_wrapper';
COMMENT ON FUNCTION crewsnow_ops.checklist(text) IS
'What people go through: the list post-incident, the list feature-flag-review, and what a team has added to crewsnow_ops.checklist_items. Error 42704 no such list.';

COMMENT ON FUNCTION crewsnow_ops.record_evidence(text, boolean, jsonb, interval, text) IS
'Records evidence for a criterion, or against it; of a release, or of whichever. What speaks for it counts for valid_for, at most the criterion''s fresh_for; what speaks against it until newer evidence comes. It cannot outweigh what a decision sees by itself. Returns its id. Errors: 22004 NULL argument, 42704 unknown criterion, 22023 details that are no object of at most 256 kB, valid_for that is not positive or longer than fresh_for, or a release of no or more than 200 characters, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.waive_criterion(text, text, timestamptz, text) IS
'Asks that a criterion need not be met until a time, at most 30 days from now; for a blocker it counts once somebody else calls approve_waiver. Returns its id. Errors: 22004 NULL argument, 42704 unknown criterion, 22023 no reason or a time that is past or too far, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.approve_waiver(uuid) IS
'Agrees to somebody else''s waiver. Errors: 22004 NULL argument, 42704 no such waiver that is open, 42501 one''s own, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.revoke_waiver(uuid) IS
'Takes a waiver back, whosever. Errors: 22004 NULL argument, 42704 no such waiver that is open, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.freeze_releases(text, timestamptz, timestamptz) IS
'From one time to another nothing is launched. Returns its id. Errors: 22004 NULL argument, 22023 no reason, or times that are out of order, past or infinite, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.end_freeze(uuid) IS
'Ends a freeze now, or before it begins. Errors: 22004 NULL argument, 42704 no such freeze that has not ended, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.register_e2e_test(text, regprocedure, text, jsonb, text, interval) IS
'Registers a function without arguments as a test, or changes how it is registered. It runs as p_role, by default the role of signed-in users, with p_claims; for the criterion p_criterion; for p_time_limit at most. It passes unless it raises, returns false or NULL, or a line that begins with "not ok". If it returns rows with columns step and statement (and role, claims), these statements are run one after the other, each as its role; one that returns booleans must return true alone. Whoever registers, and the function''s owner, must be members of the roles. Errors: 22004 NULL argument, 42704 unknown criterion or role, 42501 not a member, 42809 a function of another form, 22023 a time limit that is not 1 ms to 10 minutes, or claims that are no object, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.remove_e2e_test(text) IS
'Removes a test. Errors: 22004 NULL argument, 42704 no such test, 25006 read-only.';

REVOKE ALL ON FUNCTION
    @extschema@.make_go_no_go_decision(), @extschema@.make_launch_decision(), crewsnow_ops.decide(text, text),
    crewsnow_ops.require_go(text, text), crewsnow_ops.explain_decision(uuid), crewsnow_ops.run_e2e_tests(text),
    crewsnow_ops.checklist(text), crewsnow_ops.record_evidence(text, boolean, jsonb, interval, text),
    crewsnow_ops.waive_criterion(text, text, timestamptz, text), crewsnow_ops.approve_waiver(uuid), crewsnow_ops.revoke_waiver(uuid),
    crewsnow_ops.freeze_releases(text, timestamptz, timestamptz), crewsnow_ops.end_freeze(uuid),
    crewsnow_ops.register_e2e_test(text, regprocedure, text, jsonb, text, interval), crewsnow_ops.remove_e2e_test(text)
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
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.record_evidence(text, boolean, jsonb, interval, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.waive_criterion(text, text, timestamptz, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.approve_waiver(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.revoke_waiver(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.freeze_releases(text, timestamptz, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.end_freeze(uuid)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.register_e2e_test(text, regprocedure, text, jsonb, text, interval)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.remove_e2e_test(text)'),
    ('admin', 'INSERT, UPDATE, DELETE', 'TABLE', 'crewsnow_ops.criteria'),
    ('admin', 'INSERT, UPDATE, DELETE', 'TABLE', 'crewsnow_ops.launch_plan'),
    ('admin', 'INSERT, UPDATE, DELETE', 'TABLE', 'crewsnow_ops.checklist_items');
