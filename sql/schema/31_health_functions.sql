COMMENT ON FUNCTION crewsnow_ops.mask_literals(text) IS
    'The statement on one line without its data: comments left out, each literal replaced by ?, '
    'cut to 300 characters. NULL for NULL.';

-- Declared by hand: pgrx has no functions that return all rows at once (SFRM_Materialize). They run
-- with the rights of the caller. They read current statistics and neither wait long for a lock nor
-- for JIT compilation.
CREATE FUNCTION @extschema@.performance_health_check() RETURNS TABLE (
    metric text, current_value text, threshold text, status text, recommendation text,
    severity_rank integer, object text, evidence text, since text, next_command text
) LANGUAGE c STRICT
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '200ms'
    SET stats_fetch_consistency = 'none'
    SET plan_cache_mode = force_generic_plan
    SET jit = off
    AS 'MODULE_PATHNAME', 'performance_health_check_wrapper';
COMMENT ON FUNCTION @extschema@.performance_health_check() IS
    'The problems of this server now, worst first: one row per finding, and one row for each check '
    'without a finding. status is CRITICAL, WARNING, SKIPPED (the check could not run; evidence '
    'has the reason) or OK. next_command is the SQL to type next; NULL if there is none. since is '
    'the period of the figure. The checks run with the rights of the caller, each for at most 1 s, '
    'all for at most 5 s. A check that fails is SKIPPED. On a busy server checks are left '
    'out after crewsnow_ops.health_budget, and say so. Errors: 57014 after a cancellation or the '
    'statement_timeout of the caller. See docs/health.md for all checks and limits.';

CREATE FUNCTION crewsnow_ops.full_health_check() RETURNS TABLE (
    metric text, current_value text, threshold text, status text, recommendation text,
    severity_rank integer, object text, evidence text, since text, next_command text
) LANGUAGE c STRICT
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '200ms'
    SET stats_fetch_consistency = 'none'
    SET plan_cache_mode = force_generic_plan
    SET jit = off
    AS 'MODULE_PATHNAME', 'full_health_check_wrapper';
COMMENT ON FUNCTION crewsnow_ops.full_health_check() IS
    'The rows of performance_health_check, and checks of hygiene: estimated bloat, indexes that '
    'are unused, duplicate or missing, keys that run out, outdated statistics and more. Each check '
    'runs for at most 10 s, all for at most 60 s. Errors: as performance_health_check.';

CREATE FUNCTION crewsnow_ops.triage_now() RETURNS TABLE (
    status text, metric text, object text, command text
) LANGUAGE c STRICT
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '200ms'
    SET stats_fetch_consistency = 'none'
    SET plan_cache_mode = force_generic_plan
    SET jit = off
    AS 'MODULE_PATHNAME', 'triage_now_wrapper';
COMMENT ON FUNCTION crewsnow_ops.triage_now() IS 'The rows of the view crewsnow_ops.triage.';
CREATE VIEW crewsnow_ops.triage AS
SELECT t.status, t.metric, t.object, t.command
FROM crewsnow_ops.triage_now() AS t;
COMMENT ON VIEW crewsnow_ops.triage IS
    'The first look in an incident: the findings of performance_health_check, worst first. At most '
    '10 rows of one line each, which fit a terminal of 120 columns and 14 lines. Checks that could '
    'not look are one row for each reason. A server without an incident has a row with OK.';
COMMENT ON COLUMN crewsnow_ops.triage.status IS 'As in performance_health_check.';
COMMENT ON COLUMN crewsnow_ops.triage.metric IS
    'Name of the check, and the number of its findings that have no row.';
COMMENT ON COLUMN crewsnow_ops.triage.object IS
    'Object and value of the finding, or the reason of SKIPPED, cut to fit.';
COMMENT ON COLUMN crewsnow_ops.triage.command IS
    'SQL to type next, never cut: the next command if it is short, else a call that prints it.';

CREATE FUNCTION crewsnow_ops.health_finding(p_finding text) RETURNS SETOF text
    LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '200ms'
    SET stats_fetch_consistency = 'none'
    SET plan_cache_mode = force_generic_plan
    SET jit = off
    AS 'MODULE_PATHNAME', 'health_finding_wrapper';
COMMENT ON FUNCTION crewsnow_ops.health_finding(text) IS
    'The findings of one check as lines: object, value, evidence, advice and command. p_finding is '
    'the metric, or a place in triage, from 1. Runs that check again. Errors: 22004: p_finding is '
    'NULL. 42704: no check has that name.';

CREATE FUNCTION @extschema@.analyze_slow_queries() RETURNS TABLE (
    query_hash text, query_snippet text, calls bigint, total_time_ms numeric, avg_time_ms numeric,
    max_time_ms numeric,
    optimization_suggestion text,
    queryid bigint, database text, user_names text, pid integer, share_pct numeric,
    calls_per_second numeric, stddev_ms numeric,
    stddev_to_mean numeric, rows_per_call numeric, cache_hit_pct numeric, temp_mb_per_call numeric,
    wal_bytes_per_call numeric,
    plan_time_pct numeric, io_time_pct numeric, "window" text, finding text
) LANGUAGE c STRICT
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '200ms'
    SET jit = off
    AS 'MODULE_PATHNAME', 'analyze_slow_queries_wrapper';
COMMENT ON FUNCTION @extschema@.analyze_slow_queries() IS
    'The most expensive statements first: those of the time since an earlier sample (see '
    'sample_health), without a sample those of the lifetime of pg_stat_statements. Statements that '
    'have been running for over 1 s are rows of their own. Times are in milliseconds. Literals are '
    'masked. A figure that is unknown is NULL. Without pg_stat_statements only running statements '
    'are shown, and one row says how to enable it. Resets no statistics.';

CREATE FUNCTION crewsnow_ops.blocking_tree_now() RETURNS TABLE (
    root text, depth integer, path text, pid integer, blocked_by integer[], state text,
    victims bigint, waiting interval, lock_type text,
    lock_mode text, relation text, transaction_age interval, user_name name, application_name text,
    database name, client_addr inet,
    backend_start timestamptz, gid text, query text,
    session_kind text, roots text[], gates integer[]
) LANGUAGE c STRICT
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '200ms'
    SET jit = off
    AS 'MODULE_PATHNAME', 'blocking_tree_now_wrapper';
COMMENT ON FUNCTION crewsnow_ops.blocking_tree_now() IS
    'The rows of the view crewsnow_ops.blocking_tree.';
CREATE VIEW crewsnow_ops.blocking_tree AS
SELECT t.root, t.depth, t.path, t.pid, t.blocked_by, t.state, t.victims, t.waiting, t.lock_type,
    t.lock_mode, t.relation, t.transaction_age,
    t.user_name, t.application_name, t.database, t.client_addr, t.backend_start, t.gid, t.query,
    t.session_kind, t.roots, t.gates
FROM crewsnow_ops.blocking_tree_now() AS t;
COMMENT ON VIEW crewsnow_ops.blocking_tree IS
    'Lock waits: each root blocker, the one with the most victims first, and below it the sessions '
    'that wait for it, directly or indirectly. One row for each session: its shortest path. Empty '
    'if no session waits.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.root IS
    'Root blocker of this row: its pid, or ''prepared '' and the gid of a prepared transaction.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.depth IS
    'Distance from the root blocker: 0 is the root blocker itself, which waits for no session.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.path IS
    'Pids from the root blocker down to this row, separated by '' > ''.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.pid IS 'Process id; NULL for a prepared transaction.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.blocked_by IS
    'Pids of all sessions that it waits for, as pg_blocking_pids returns them; 0 is a prepared '
    'transaction. NULL if it does not wait.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.state IS
    'State as in pg_stat_activity; ''prepared transaction''; or ''deadlock'' for a deadlock that '
    'the server has not broken yet. NULL if hidden from the caller.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.victims IS
    'Number of sessions that wait because of this one, directly or indirectly.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.waiting IS
    'Time that it has been waiting for a lock; NULL if it does not wait.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.lock_type IS
    'Type of the lock that it waits for, as pg_locks.locktype; NULL if it does not wait.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.lock_mode IS
    'Mode of the lock that it waits for; NULL if it does not wait.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.relation IS
    'Table or index of the lock that it waits for, as an OID if it is in another database; NULL if '
    'there is none.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.transaction_age IS
    'Time since its transaction began or was prepared; NULL if hidden from the caller.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.user_name IS
    'Role of the session, or owner of the prepared transaction.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.application_name IS
    'application_name of the session; NULL for a prepared transaction.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.database IS
    'Database of the session or of the prepared transaction.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.client_addr IS
    'Address of the client; NULL for a Unix socket, or if hidden from the caller.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.backend_start IS
    'Time when the session began, which terminate_session takes with pid. NULL for a prepared '
    'transaction, or if hidden from the caller.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.gid IS
    'Name of the prepared transaction; NULL for a session.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.query IS
    'Last statement of the session, literals masked; <insufficient privilege> if hidden from the '
    'caller, NULL for a prepared transaction.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.session_kind IS
    'client, own session, backup, autovacuum, wraparound vacuum, startup (replay), walsender, '
    'background, prepared transaction, or hidden from the caller.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.roots IS
    'All root blockers that it waits for, directly or indirectly; itself for a root blocker.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.gates IS
    'Pids of waiting sessions: if all their statements are cancelled, this session continues. NULL '
    'if it waits for a root blocker in another way, too.';

CREATE FUNCTION crewsnow_ops.connections_now() RETURNS TABLE (
    user_name name, application_name text, database name, connections bigint, active bigint,
    idle bigint, idle_in_transaction bigint,
    idle_in_failed_transaction bigint, other bigint, hidden bigint, waiting_for_lock bigint,
    client_addresses bigint,
    oldest_transaction timestamptz, oldest_active_query timestamptz, longest_idle_since timestamptz,
    latest_login timestamptz
) LANGUAGE c STRICT
    SET search_path = pg_catalog, pg_temp
    SET jit = off
    AS 'MODULE_PATHNAME', 'connections_now_wrapper';
COMMENT ON FUNCTION crewsnow_ops.connections_now() IS
    'The rows of the view crewsnow_ops.connections.';
CREATE VIEW crewsnow_ops.connections AS
SELECT c.user_name, c.application_name, c.database, c.connections, c.active, c.idle,
    c.idle_in_transaction, c.idle_in_failed_transaction,
    c.other, c.hidden, c.waiting_for_lock, c.client_addresses, c.oldest_transaction,
    c.oldest_active_query, c.longest_idle_since,
    c.latest_login
FROM crewsnow_ops.connections_now() AS c;
COMMENT ON VIEW crewsnow_ops.connections IS
    'Client sessions counted by role, application and database, the largest group first.';
COMMENT ON COLUMN crewsnow_ops.connections.user_name IS 'Role of the sessions.';
COMMENT ON COLUMN crewsnow_ops.connections.application_name IS
    'application_name of the sessions; (none) if it is empty.';
COMMENT ON COLUMN crewsnow_ops.connections.database IS 'Database of the sessions.';
COMMENT ON COLUMN crewsnow_ops.connections.connections IS 'Number of sessions in any state.';
COMMENT ON COLUMN crewsnow_ops.connections.active IS 'Sessions that run a statement.';
COMMENT ON COLUMN crewsnow_ops.connections.idle IS
    'Sessions that wait for their client outside a transaction.';
COMMENT ON COLUMN crewsnow_ops.connections.idle_in_transaction IS
    'Sessions that wait for their client in a transaction.';
COMMENT ON COLUMN crewsnow_ops.connections.idle_in_failed_transaction IS
    'Sessions that wait for their client to end a failed transaction.';
COMMENT ON COLUMN crewsnow_ops.connections.other IS 'Sessions in any other state.';
COMMENT ON COLUMN crewsnow_ops.connections.hidden IS
    'Sessions whose state is hidden from the caller.';
COMMENT ON COLUMN crewsnow_ops.connections.waiting_for_lock IS 'Sessions that wait for a lock.';
COMMENT ON COLUMN crewsnow_ops.connections.client_addresses IS
    'Number of different client addresses; Unix sockets do not count.';
COMMENT ON COLUMN crewsnow_ops.connections.oldest_transaction IS
    'Time when the oldest open transaction began; NULL if there is none.';
COMMENT ON COLUMN crewsnow_ops.connections.oldest_active_query IS
    'Time when the longest running statement began; NULL if none runs.';
COMMENT ON COLUMN crewsnow_ops.connections.longest_idle_since IS
    'Time since which the longest idle session has been idle; NULL if none is idle.';
COMMENT ON COLUMN crewsnow_ops.connections.latest_login IS
    'Time when the latest session began; NULL if hidden from the caller.';

CREATE FUNCTION crewsnow_ops.connection_states_now() RETURNS TABLE (
    state text, connection_count bigint, oldest_query_start timestamptz,
    avg_query_duration_seconds numeric
) LANGUAGE c STRICT
    SET search_path = pg_catalog, pg_temp
    SET jit = off
    AS 'MODULE_PATHNAME', 'connection_states_now_wrapper';
COMMENT ON FUNCTION crewsnow_ops.connection_states_now() IS
    'The rows of the view connection_monitoring.';
CREATE VIEW @extschema@.connection_monitoring AS
SELECT c.state, c.connection_count, c.oldest_query_start, c.avg_query_duration_seconds
FROM crewsnow_ops.connection_states_now() AS c;
COMMENT ON VIEW @extschema@.connection_monitoring IS
    'Client sessions counted by state, the most frequent state first. The session of the caller '
    'counts, too.';
COMMENT ON COLUMN @extschema@.connection_monitoring.state IS
    'State as in pg_stat_activity; (hidden) if hidden from the caller.';
COMMENT ON COLUMN @extschema@.connection_monitoring.connection_count IS
    'Number of sessions in this state.';
COMMENT ON COLUMN @extschema@.connection_monitoring.oldest_query_start IS
    'Time when the oldest of their current or last statements began; NULL if hidden from the '
    'caller.';
COMMENT ON COLUMN @extschema@.connection_monitoring.avg_query_duration_seconds IS
    'Mean duration of their current or last statements, in seconds. A running statement counts '
    'until now. NULL if hidden from the caller.';

COMMENT ON FUNCTION crewsnow_ops.sample_health() IS
    'Records the counters of the server, from which performance_health_check and '
    'analyze_slow_queries compute the figures of the last minutes. Returns false if the last '
    'sample is less than five seconds old. Call it every 10 to 60 seconds. Counters are kept for '
    'one hour, statements for two. Also moves the heartbeat, which backups carry. Errors: 25006 in '
    'a read-only transaction or on a standby.';
COMMENT ON FUNCTION crewsnow_ops.terminate_session(integer, timestamptz) IS
    'Ends one client session. Returns true if it existed, false with a NOTICE if it is gone '
    'already. Takes pid and backend_start of pg_stat_activity, because process ids are reused. '
    'Recorded in session_actions. Errors: 22004: an argument is NULL. 22023: the own session, or '
    'not a client backend. 42501: a session of a superuser, and the caller is not one. 55000: '
    'another session has that pid now. 55P03: session_actions is locked. 25006: read-only '
    'transaction or standby.';
COMMENT ON FUNCTION crewsnow_ops.cancel_session(integer, timestamptz) IS
    'Cancels the running statement of one client session, which stays connected. The transaction '
    'of the statement fails. Returns true if the session was told, false with a NOTICE if it is '
    'gone or runs no statement. Arguments, records and errors as for terminate_session.';
COMMENT ON FUNCTION crewsnow_ops.disconnect_sessions(
    text, text, text, interval, boolean, boolean
) IS
    'Lists the client sessions that match all given criteria: role, application, database, '
    'connected for longer than p_older_than. With p_dry_run => false it records them in '
    'session_actions, tells all of them to end, and waits once, for 1 to 5 s. A cancel or '
    'statement_timeout only ends the waiting. The own session and replication are never '
    'included, sessions of superusers only with p_include_superusers. Errors: 22004: a switch is '
    'NULL. 22023: no criterion, or an age that is not positive. 42501: p_include_superusers, and '
    'the caller is not a superuser. 55P03: session_actions is locked. 25006: p_dry_run => false in '
    'a read-only transaction or on a standby.';

CREATE FUNCTION crewsnow_ops.note_refresh() RETURNS event_trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'note_refresh_wrapper';
COMMENT ON FUNCTION crewsnow_ops.note_refresh() IS
    'Event trigger function: records the end of a refresh in matview_refreshes. If that fails, it '
    'raises a WARNING and the refresh succeeds.';
CREATE EVENT TRIGGER crewsnow_ops_note_refresh ON ddl_command_end
    WHEN TAG IN ('CREATE MATERIALIZED VIEW', 'REFRESH MATERIALIZED VIEW')
    EXECUTE FUNCTION crewsnow_ops.note_refresh();
COMMENT ON EVENT TRIGGER crewsnow_ops_note_refresh IS
    'Records each refresh of a materialized view, because PostgreSQL does not.';

REVOKE ALL ON FUNCTION
    @extschema@.performance_health_check(), crewsnow_ops.full_health_check(),
    crewsnow_ops.triage_now(), crewsnow_ops.health_finding(text),
    @extschema@.analyze_slow_queries(),
    crewsnow_ops.blocking_tree_now(), crewsnow_ops.connections_now(),
    crewsnow_ops.connection_states_now(), crewsnow_ops.sample_health(),
    crewsnow_ops.cancel_session(integer, timestamptz),
    crewsnow_ops.terminate_session(integer, timestamptz),
    crewsnow_ops.disconnect_sessions(text, text, text, interval, boolean, boolean),
    crewsnow_ops.mask_literals(text),
    crewsnow_ops.note_refresh()
    FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'EXECUTE', 'FUNCTION', '@extschema@.performance_health_check()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.full_health_check()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.triage_now()'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.triage'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.health_finding(text)'),
    ('reader', 'EXECUTE', 'FUNCTION', '@extschema@.analyze_slow_queries()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.mask_literals(text)'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.blocking_tree'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.blocking_tree_now()'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.connections'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.connections_now()'),
    ('reader', 'SELECT', 'TABLE', '@extschema@.connection_monitoring'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.connection_states_now()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.sample_health()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.cancel_session(integer, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.terminate_session(integer, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.disconnect_sessions(text, text, text, interval, boolean, boolean)');
