-- The cheapest safe command for the session s of session_kind k.kind. A working session loses its
-- statement, an idle one its connection. A cancel does not reach a session that waits for its
-- client. On a standby no action can be recorded, so the server's own functions are called.
CASE
    WHEN k.kind = 'hidden' THEN format('GRANT pg_monitor TO %I;', current_user)
    WHEN k.kind = 'client' THEN format(
        CASE WHEN pg_is_in_recovery()
            THEN 'SELECT pg_%1$s_backend(pid) FROM pg_stat_activity WHERE pid = %2$s '
                'AND backend_start = %3$L;'
            ELSE 'SELECT crewsnow_ops.%1$s_session(%2$s, %3$L);'
        END,
        CASE WHEN s.state NOT LIKE 'idle%' AND s.wait_event_type IS DISTINCT FROM 'Client'
            THEN 'cancel' ELSE 'terminate' END,
        s.pid,
        to_char(s.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00')
    WHEN k.kind = 'autovacuum' THEN format(
        'SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = %s '
        'AND backend_start = %L;',
        s.pid, to_char(s.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00')
    WHEN k.kind <> 'own session'
        THEN format('SELECT * FROM pg_stat_activity WHERE pid = %s;', s.pid)
END
