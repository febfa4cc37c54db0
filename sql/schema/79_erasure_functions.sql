-- With row_security off, a query that row-level security would filter fails: no row of the person
-- stays unseen.
CREATE FUNCTION crewsnow_ops.plan_erasure(p_request uuid)
    RETURNS TABLE (step integer, object text, action text, row_count bigint, "by" text,
        detail text, command text)
    LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
    AS 'MODULE_PATHNAME', 'plan_erasure_wrapper';
COMMENT ON FUNCTION crewsnow_ops.plan_erasure(uuid) IS
    'The steps of an erasure in their order, without doing anything. action: delete, anonymise, '
    'set null, keep, pseudonymise (trails of the extension), undecided (a column looks like an '
    'owner and has no rule) or refused. row_count: rows of the person. by: the foreign key or '
    'column that reaches them. An erasure is executed only without undecided and refused rows. '
    'Reads as the caller. Errors: 22004, 42501, 42704, 42P01, 55000 for an executed one.';
CREATE FUNCTION crewsnow_ops.execute_erasure(p_request uuid) RETURNS text
    LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
    AS 'MODULE_PATHNAME', 'execute_erasure_wrapper';
COMMENT ON FUNCTION crewsnow_ops.execute_erasure(uuid) IS
    'Executes a request in one transaction, all or nothing, and returns a report; its last line is '
    '''Erasure completed''. Deletes and updates as the caller. The trails of the extension keep a '
    'pseudonym. The request becomes a row of the ledger, without the id. Errors: 22004, 25001 in a '
    'REPEATABLE READ or SERIALIZABLE transaction, 25006, 42501 naming the table, 42704, 55000 for '
    'a hold, an undecided column, a refused step, rows that a trigger keeps, or an executed '
    'request, 55P03 naming the session in the way. See docs/erasure.md.';
CREATE FUNCTION crewsnow_ops.prove_erasure(p_request uuid, p_user_id text DEFAULT NULL)
    RETURNS TABLE (verdict text, object text, column_name text, row_count bigint, detail text,
        command text)
    LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
    AS 'MODULE_PATHNAME', 'prove_erasure_wrapper';
COMMENT ON FUNCTION crewsnow_ops.prove_erasure(uuid, text) IS
    'Searches all tables and materialized views for an erased person by the hashes of the ledger: '
    'whole values, JSON strings, and parts that look like a uuid or an e-mail address. With '
    'p_user_id, which must have the hash of the ledger, also for the id as a part of any text. '
    'verdict: TRACES and SKIPPED rows, worst first. The last row is the summary: PROVED, TRACES, '
    'or SKIPPED if a part could not be read. Errors: 22004, 22023 for another person, 42704, 55000 '
    'for an open request.';
CREATE FUNCTION crewsnow_ops.replay_erasures(p_ledger jsonb DEFAULT NULL) RETURNS text
    LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
    AS 'MODULE_PATHNAME', 'replay_erasures_wrapper';
COMMENT ON FUNCTION crewsnow_ops.replay_erasures(jsonb) IS
    'After a restore: erases each account again that the ledger names, and returns a report; its '
    'last line is ''Replay completed'' and their number. p_ledger: an array of the lines of '
    'export_erasures, which join the ledger first. Errors: as execute_erasure, and 22023 for '
    'another form of p_ledger.';
COMMENT ON FUNCTION crewsnow_ops.export_erasures() IS
    'The ledger, one object per erasure, to be kept outside of the database and its backups for '
    'replay_erasures. It holds the salt: keep it as secret as a backup.';
CREATE FUNCTION crewsnow_ops.erasure_objection()
    RETURNS TABLE (erasures bigint, objection text, command text)
    LANGUAGE c
    SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
    AS 'MODULE_PATHNAME', 'erasure_objection_wrapper';
COMMENT ON FUNCTION crewsnow_ops.erasure_objection() IS
    'Whether erased persons may be back: an account of the ledger exists, or this database is a '
    'copy in which the ledger was not replayed. objection and command are NULL otherwise. The '
    'measure erasures of decisions reads it.';
COMMENT ON FUNCTION crewsnow_ops.request_erasure(text, text) IS
    'Stores a request to erase a person, due in 30 days, and returns its id. Nothing is erased '
    'yet. p_user_id is the key in the table that crewsnow_ops.users_table names; p_reason must not '
    'name the person. Warns if no account has the id. Errors: 22004, 22023 for an id of another '
    'type or an empty reason, 25006, 42P01 without a users table, 55000 if a request is open.';
REVOKE ALL ON FUNCTION
    crewsnow_ops.request_erasure(text, text),
    crewsnow_ops.plan_erasure(uuid),
    crewsnow_ops.execute_erasure(uuid),
    crewsnow_ops.prove_erasure(uuid, text),
    crewsnow_ops.replay_erasures(jsonb),
    crewsnow_ops.export_erasures(),
    crewsnow_ops.erasure_objection() FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.trail_erasures'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.erasure_replays'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.erasure_rules'),
    ('admin', 'INSERT, UPDATE, DELETE', 'TABLE', 'crewsnow_ops.erasure_rules'),
    ('admin', 'SELECT, INSERT, UPDATE', 'TABLE', 'crewsnow_ops.legal_holds'),
    ('admin', 'SELECT, DELETE', 'TABLE', 'crewsnow_ops.erasure_requests'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.request_erasure(text, text)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.plan_erasure(uuid)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.execute_erasure(uuid)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.prove_erasure(uuid, text)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.replay_erasures(jsonb)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.export_erasures()'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.erasure_objection()');
