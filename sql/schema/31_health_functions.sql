COMMENT ON FUNCTION crewsnow_ops.mask_literals(text) IS 'A statement on one line for others to read: comments left out, each literal a ?, at most 300 characters.';

-- Declared by hand, because their rows are returned at once. All run with the rights of who asks. Statistics are read as they are now, and
-- neither a lock nor a compiler makes anybody wait.
CREATE FUNCTION @extschema@.performance_health_check() RETURNS TABLE (
    metric text, current_value text, threshold text, status text, recommendation text,
    severity_rank integer, object text, evidence text, since text, next_command text
) LANGUAGE c STRICT
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET stats_fetch_consistency = 'none' SET jit = off
    AS 'MODULE_PATHNAME', 'performance_health_check_wrapper';
COMMENT ON FUNCTION @extschema@.performance_health_check() IS
'What is wrong with this server now, the worst first: a row a finding, and one for each check that found nothing. status: CRITICAL, WARNING, SKIPPED (could not be looked at; evidence says why) or OK. next_command is the SQL to type next; since is the period that the figure is about. Never fails: each check runs by itself for at most 1 s, all for at most 5 s, with your own rights. See docs/health.md for each check and limit.';

CREATE FUNCTION crewsnow_ops.full_health_check() RETURNS TABLE (
    metric text, current_value text, threshold text, status text, recommendation text,
    severity_rank integer, object text, evidence text, since text, next_command text
) LANGUAGE c STRICT
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET stats_fetch_consistency = 'none' SET jit = off
    AS 'MODULE_PATHNAME', 'full_health_check_wrapper';
COMMENT ON FUNCTION crewsnow_ops.full_health_check() IS
'performance_health_check, and hygiene: bloat (estimated), indexes that are unused, duplicate or missing, keys that run out, statistics that are old, and more. Each check runs for at most 10 s, all for at most a minute. For a quiet day.';

CREATE FUNCTION @extschema@.analyze_slow_queries() RETURNS TABLE (
    query_hash text, query_snippet text, calls bigint, total_time_ms numeric, avg_time_ms numeric, max_time_ms numeric,
    optimization_suggestion text,
    queryid bigint, database text, user_names text, pid integer, share_pct numeric, calls_per_second numeric, stddev_ms numeric,
    stddev_to_mean numeric, rows_per_call numeric, cache_hit_pct numeric, temp_mb_per_call numeric, wal_bytes_per_call numeric,
    plan_time_pct numeric, io_time_pct numeric, "window" text, finding text
) LANGUAGE c STRICT
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'analyze_slow_queries_wrapper';
COMMENT ON FUNCTION @extschema@.analyze_slow_queries() IS
'The statements that take the time, the most expensive first: of the minutes since an earlier sample where there is one (sample_health), else of pg_stat_statements'' life, and what runs now for longer than a second. Literals are masked. Without pg_stat_statements it knows only what runs now, and a row says what to do. Resets nothing.';

CREATE FUNCTION crewsnow_ops.blocking_tree_now() RETURNS TABLE (
    root text, depth integer, path text, pid integer, blocked_by integer[], state text, victims bigint, waiting interval, lock_type text,
    lock_mode text, relation text, transaction_age interval, user_name name, application_name text, database name, client_addr inet,
    backend_start timestamptz, gid text, query text
) LANGUAGE c STRICT
    SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
    AS 'MODULE_PATHNAME', 'blocking_tree_now_wrapper';
COMMENT ON FUNCTION crewsnow_ops.blocking_tree_now() IS 'The rows of crewsnow_ops.blocking_tree.';
CREATE VIEW crewsnow_ops.blocking_tree AS
SELECT t.root, t.depth, t.path, t.pid, t.blocked_by, t.state, t.victims, t.waiting, t.lock_type, t.lock_mode, t.relation, t.transaction_age,
    t.user_name, t.application_name, t.database, t.client_addr, t.backend_start, t.gid, t.query
FROM crewsnow_ops.blocking_tree_now() AS t;
COMMENT ON VIEW crewsnow_ops.blocking_tree IS 'Who waits for whose lock: each root blocker, the one with the most victims first, and below it those who wait, directly or not. No rows when nobody waits.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.root IS 'The root blocker: its pid, or ''prepared '' and the name of a prepared transaction.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.depth IS '0 for the root blocker, which waits for nobody.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.path IS 'From the root blocker to this one.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.pid IS 'The process; NULL for a prepared transaction.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.blocked_by IS 'All that it waits for, as pg_blocking_pids says it: 0 is a prepared transaction.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.state IS 'As in pg_stat_activity; or prepared transaction, or deadlock (a circle that the server has not broken yet).';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.victims IS 'How many wait because of it.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.waiting IS 'For how long it has been waiting.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.lock_type IS 'The kind of lock that it waits for.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.lock_mode IS 'The mode that it waits for.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.relation IS 'The table or index concerned.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.transaction_age IS 'How old its transaction is.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.user_name IS 'Whose it is.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.application_name IS 'What it calls itself.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.database IS 'Its database.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.client_addr IS 'Where it comes from.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.backend_start IS 'When the session began: with pid, what terminate_session takes.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.gid IS 'The prepared transaction''s name.';
COMMENT ON COLUMN crewsnow_ops.blocking_tree.query IS 'Its last statement, literals masked.';

CREATE FUNCTION crewsnow_ops.connections_now() RETURNS TABLE (
    user_name name, application_name text, database name, connections bigint, active bigint, idle bigint, idle_in_transaction bigint,
    idle_in_failed_transaction bigint, other bigint, hidden bigint, waiting_for_lock bigint, client_addresses bigint,
    oldest_transaction timestamptz, oldest_active_query timestamptz, longest_idle_since timestamptz, latest_login timestamptz
) LANGUAGE c STRICT
    SET search_path = pg_catalog, pg_temp SET jit = off AS 'MODULE_PATHNAME', 'connections_now_wrapper';
COMMENT ON FUNCTION crewsnow_ops.connections_now() IS 'The rows of crewsnow_ops.connections.';
CREATE VIEW crewsnow_ops.connections AS
SELECT c.user_name, c.application_name, c.database, c.connections, c.active, c.idle, c.idle_in_transaction, c.idle_in_failed_transaction,
    c.other, c.hidden, c.waiting_for_lock, c.client_addresses, c.oldest_transaction, c.oldest_active_query, c.longest_idle_since,
    c.latest_login
FROM crewsnow_ops.connections_now() AS c;
COMMENT ON VIEW crewsnow_ops.connections IS 'Clients'' sessions by role, application and database, the most first.';
COMMENT ON COLUMN crewsnow_ops.connections.user_name IS 'The role.';
COMMENT ON COLUMN crewsnow_ops.connections.application_name IS 'The application, (none) without a name.';
COMMENT ON COLUMN crewsnow_ops.connections.database IS 'The database.';
COMMENT ON COLUMN crewsnow_ops.connections.connections IS 'Sessions.';
COMMENT ON COLUMN crewsnow_ops.connections.active IS 'Those that run a statement.';
COMMENT ON COLUMN crewsnow_ops.connections.idle IS 'Those that wait for their client outside a transaction.';
COMMENT ON COLUMN crewsnow_ops.connections.idle_in_transaction IS 'Those that wait for their client in a transaction.';
COMMENT ON COLUMN crewsnow_ops.connections.idle_in_failed_transaction IS 'Those that wait for their client to end a failed transaction.';
COMMENT ON COLUMN crewsnow_ops.connections.other IS 'Those in another state.';
COMMENT ON COLUMN crewsnow_ops.connections.hidden IS 'Those whose state this role may not see.';
COMMENT ON COLUMN crewsnow_ops.connections.waiting_for_lock IS 'Those that wait for a lock.';
COMMENT ON COLUMN crewsnow_ops.connections.client_addresses IS 'From how many addresses.';
COMMENT ON COLUMN crewsnow_ops.connections.oldest_transaction IS 'When the oldest transaction began.';
COMMENT ON COLUMN crewsnow_ops.connections.oldest_active_query IS 'When the statement began that has run the longest.';
COMMENT ON COLUMN crewsnow_ops.connections.longest_idle_since IS 'Since when the idlest has been idle.';
COMMENT ON COLUMN crewsnow_ops.connections.latest_login IS 'When the latest session began.';

CREATE FUNCTION crewsnow_ops.connection_states_now() RETURNS TABLE (
    state text, connection_count bigint, oldest_query_start timestamptz, avg_query_duration_seconds numeric
) LANGUAGE c STRICT
    SET search_path = pg_catalog, pg_temp SET jit = off AS 'MODULE_PATHNAME', 'connection_states_now_wrapper';
COMMENT ON FUNCTION crewsnow_ops.connection_states_now() IS 'The rows of connection_monitoring.';
CREATE VIEW @extschema@.connection_monitoring AS
SELECT c.state, c.connection_count, c.oldest_query_start, c.avg_query_duration_seconds
FROM crewsnow_ops.connection_states_now() AS c;
COMMENT ON VIEW @extschema@.connection_monitoring IS 'Clients'' sessions by state, the most first; your own is one of them.';
COMMENT ON COLUMN @extschema@.connection_monitoring.state IS 'As in pg_stat_activity; (hidden) where this role may not see it.';
COMMENT ON COLUMN @extschema@.connection_monitoring.connection_count IS 'Sessions in it.';
COMMENT ON COLUMN @extschema@.connection_monitoring.oldest_query_start IS 'When the oldest of their current, or last, statements began.';
COMMENT ON COLUMN @extschema@.connection_monitoring.avg_query_duration_seconds IS 'How long these took on average, in seconds: until now where they run.';

COMMENT ON FUNCTION crewsnow_ops.sample_health() IS
'Keeps the server''s counters, so that performance_health_check and analyze_slow_queries speak of the last minutes instead of the server''s life; false if that was done less than five seconds ago. Call it every 10 to 60 seconds, from whatever has a clock. Keeps an hour, of statements two. Error 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.terminate_session(integer, timestamptz) IS
'Ends a client''s session: true when it was there, false with a NOTICE when it is gone already. Takes pid and backend_start of pg_stat_activity, so that no other session is hit when the process id was used again. Recorded in session_actions. Errors: 22004 NULL argument, 22023 your own session or no client''s, 42501 a superuser''s session unless you are one, 55000 another session has that pid now, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.disconnect_sessions(text, text, text, interval, boolean, boolean) IS
'Lists the clients'' sessions of a role, application or database, or those connected for longer than p_older_than; with p_dry_run => false ends them. Never your own, never replication; superusers'' only when asked for by one. Recorded in session_actions. Errors: 22004 NULL for a switch, 22023 no criterion or an age that is not positive, 42501 superusers'' sessions asked for by somebody who is none, 25006 read-only.';

CREATE FUNCTION crewsnow_ops.note_refresh() RETURNS event_trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'note_refresh_wrapper';
COMMENT ON FUNCTION crewsnow_ops.note_refresh() IS 'Event trigger: keeps matview_refreshes. A failure is a WARNING.';
CREATE EVENT TRIGGER crewsnow_ops_note_refresh ON ddl_command_end
    WHEN TAG IN ('CREATE MATERIALIZED VIEW', 'REFRESH MATERIALIZED VIEW')
    EXECUTE FUNCTION crewsnow_ops.note_refresh();
COMMENT ON EVENT TRIGGER crewsnow_ops_note_refresh IS 'PostgreSQL does not record when a materialized view was refreshed.';

REVOKE ALL ON FUNCTION
    @extschema@.performance_health_check(), crewsnow_ops.full_health_check(), @extschema@.analyze_slow_queries(),
    crewsnow_ops.blocking_tree_now(), crewsnow_ops.connections_now(), crewsnow_ops.connection_states_now(), crewsnow_ops.sample_health(),
    crewsnow_ops.terminate_session(integer, timestamptz),
    crewsnow_ops.disconnect_sessions(text, text, text, interval, boolean, boolean), crewsnow_ops.mask_literals(text),
    crewsnow_ops.note_refresh()
    FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'EXECUTE', 'FUNCTION', '@extschema@.performance_health_check()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.full_health_check()'),
    ('reader', 'EXECUTE', 'FUNCTION', '@extschema@.analyze_slow_queries()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.mask_literals(text)'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.blocking_tree'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.blocking_tree_now()'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.connections'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.connections_now()'),
    ('reader', 'SELECT', 'TABLE', '@extschema@.connection_monitoring'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.connection_states_now()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.sample_health()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.terminate_session(integer, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.disconnect_sessions(text, text, text, interval, boolean, boolean)');
