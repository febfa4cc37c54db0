-- Limits: ten sessions, more than half of those that are not idle; critical 100 (pghero) or half of
-- the connection slots (ours). A session counts after 5 s without a statement: between two
-- statements of a quick transaction every session is idle in transaction for a moment.
WITH
clients AS MATERIALIZED (
    SELECT s.state, s.application_name, s.usename, s.query, s.backend_xid, s.xact_start,
        s.state LIKE 'idle in transaction%'
            AND s.state_change < statement_timestamp() - interval '5 s' AS is_waiting
    FROM pg_stat_activity AS s
    WHERE s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
),
counted AS (
    SELECT count(*) FILTER (WHERE c.is_waiting) AS waiting,
        count(*) FILTER (WHERE c.state NOT IN ('idle', 'disabled')) AS busy, count(*) AS sessions,
        count(*) FILTER (WHERE c.is_waiting AND c.backend_xid IS NOT NULL) AS written,
        min(c.xact_start) FILTER (WHERE c.is_waiting) AS since,
        mode() WITHIN GROUP (ORDER BY c.application_name)
            FILTER (WHERE c.is_waiting) AS application_name,
        current_setting('max_connections')::integer
            - current_setting('superuser_reserved_connections')::integer AS slots,
        pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all
    FROM clients AS c
),
judged AS (
    SELECT c.*,
        CASE WHEN c.waiting >= least(@idle_pileup.critical@,
                greatest(0.5 * c.slots, @idle_pileup.warning@)) THEN 'CRITICAL'
            WHEN c.waiting >= @idle_pileup.warning@ AND c.waiting * 2 > c.busy THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM counted AS c
)
SELECT
    CASE WHEN j.sees_all OR j.status <> 'OK' THEN j.status ELSE 'SKIPPED' END AS status,
    CASE WHEN j.status <> 'OK'
        THEN 'application ' || coalesce(nullif(j.application_name, ''), '(none)') END AS object,
    CASE WHEN j.sees_all THEN format('%s of %s sessions', j.waiting, j.sessions) END
        AS current_value,
    '< @idle_pileup.warning@' AS threshold,
    CASE WHEN NOT j.sees_all THEN 'the states of other users'' sessions are hidden from this role'
        WHEN j.status = 'OK' THEN format('idle in transaction for over 5 s; %s busy', j.busy)
        ELSE format('%s of %s busy sessions are idle in transaction for over 5 s, the oldest since '
            '%s, %s have written; most from %s', j.waiting, j.busy, j.since, j.written, (
                SELECT string_agg(format('%s (%s)', t.application, t.sessions), ', ')
                FROM (SELECT coalesce(nullif(c.application_name, ''), '(none)') AS application,
                        count(*) AS sessions
                    FROM clients AS c
                    WHERE c.is_waiting GROUP BY 1 ORDER BY 2 DESC LIMIT 3) AS t))
            || (SELECT E'\nquery: ' || left(min(c.query), 300) FROM clients AS c
                WHERE c.is_waiting AND c.application_name IS NOT DISTINCT FROM j.application_name)
    END AS evidence,
    CASE WHEN j.status <> 'OK'
        THEN 'The application keeps transactions open while it does something else, such as a call '
            'of another service: end them before the connections run out, then set '
            'idle_in_transaction_session_timeout for its role.'
        WHEN NOT j.sees_all THEN 'Grant pg_monitor to this role.'
        ELSE 'Nothing to do.'
    END AS recommendation,
    CASE WHEN j.status <> 'OK'
        THEN format('SELECT pid, %s FROM pg_catalog.pg_stat_activity WHERE application_name = %L '
            'AND state LIKE ''idle in transaction%%'' AND state_change < pg_catalog.now() - '
            'interval ''5 s''%s;',
            CASE WHEN pg_is_in_recovery() THEN 'pg_catalog.pg_terminate_backend(pid)'
                ELSE 'crewsnow_ops.terminate_session(pid, backend_start)' END,
            j.application_name,
@signalable@
            )
        WHEN NOT j.sees_all THEN format('GRANT pg_monitor TO %I;', current_user)
    END AS next_command,
    'now' AS since
FROM judged AS j
