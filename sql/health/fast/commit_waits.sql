-- Limits: one commit that has waited for a synchronous standby for 5 s; critical 30 s, or ten
-- commits for 5 s (ours). The commit is safe here and not yet there, and its client hangs.
WITH
waiting AS (
    SELECT count(*) FILTER (WHERE t.age >= interval '@commit_waits.warning@ s') AS sessions,
        count(*) AS waiting, max(t.age) AS longest,
        mode() WITHIN GROUP (ORDER BY s.application_name) AS application_name
    FROM pg_stat_activity AS s
    CROSS JOIN LATERAL (SELECT statement_timestamp() - s.query_start AS age) AS t
    WHERE s.wait_event = 'SyncRep' AND s.pid <> pg_backend_pid()
),
judged AS (
    SELECT w.*, pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
        CASE WHEN w.sessions > 0
                AND (w.longest >= interval '@commit_waits.critical@ s' OR w.sessions >= 10)
            THEN 'CRITICAL' WHEN w.sessions > 0 THEN 'WARNING' ELSE 'OK' END AS status
    FROM waiting AS w
)
SELECT
    CASE WHEN j.sees_all OR j.status <> 'OK' THEN j.status ELSE 'SKIPPED' END AS status,
    CASE WHEN j.status <> 'OK'
        THEN 'application ' || coalesce(nullif(j.application_name, ''), '(none)') END AS object,
    CASE WHEN j.sees_all THEN format('%s commits wait%s', j.waiting,
        coalesce(', longest ' || date_trunc('second', j.longest), '')) END AS current_value,
    '< @commit_waits.warning@ s' AS threshold,
    CASE WHEN NOT j.sees_all THEN 'other users'' waits are hidden from this role'
        ELSE format('synchronous_standby_names %s; connected: %s',
            quote_literal(current_setting('synchronous_standby_names')),
            coalesce((SELECT string_agg(format('%s %s', r.application_name, r.sync_state), ', ')
                FROM pg_stat_replication AS r), 'none'))
    END AS evidence,
    CASE WHEN j.status <> 'OK'
        THEN 'Commits wait for a synchronous standby that is gone or late: bring it back. Without '
            'a standby to wait for, commits return and exist on this server only.'
        WHEN NOT j.sees_all THEN 'Grant pg_monitor to this role.'
        ELSE 'Nothing to do.'
    END AS recommendation,
    CASE WHEN j.status <> 'OK'
        THEN 'SELECT application_name, state, sync_state, flush_lag FROM '
            'pg_catalog.pg_stat_replication;'
        WHEN NOT j.sees_all THEN format('GRANT pg_monitor TO %I;', current_user)
    END AS next_command,
    'now' AS since
FROM judged AS j
