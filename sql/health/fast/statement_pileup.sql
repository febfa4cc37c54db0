-- Limits: ten sessions, more than the processors, that have run one statement for over 1 s;
-- critical 30 and four times the processors (ours). Sessions that wait for a lock, for a timer or
-- for their client take no processor: other checks report them. So do sessions in a wait that names
-- a cause elsewhere, such as the lookup of subtransactions. Statements are the same if their
-- query_id is, without one if their text without literals is.
WITH
running AS MATERIALIZED (
    SELECT coalesce(s.query_id::text, crewsnow_ops.mask_literals(s.query)) AS statement,
        s.query_id, s.query, s.application_name, s.datname, s.query_start
    FROM pg_stat_activity AS s
    WHERE s.state = 'active' AND s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
        AND s.query_start < statement_timestamp() - interval '1 s'
        AND coalesce(s.wait_event_type, '') NOT IN
            ('Lock', 'Timeout', 'Client', 'Activity', 'Extension')
        AND coalesce(s.wait_event, '') !~* '^(lock_?manager|subtrans|multixact)'
),
statements AS (
    SELECT r.statement, count(*) AS sessions, min(r.query_id) AS query_id, min(r.query) AS query,
        mode() WITHIN GROUP (ORDER BY r.application_name) AS application_name,
        count(DISTINCT r.application_name) AS applications, min(r.datname) AS datname,
        min(r.query_start) AS since
    FROM running AS r
    GROUP BY r.statement
    ORDER BY count(*) DESC, r.statement
    LIMIT 1
),
judged AS (
    SELECT s.*, pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
        CASE WHEN s.sessions >= greatest(@statement_pileup.critical@, 4 * @processors@)
            THEN 'CRITICAL'
            WHEN s.sessions >= @statement_pileup.warning@ AND s.sessions > @processors@
                THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM (SELECT 1) AS one
    LEFT JOIN statements AS s ON true
)
SELECT
    CASE WHEN j.sees_all OR j.status <> 'OK' THEN j.status ELSE 'SKIPPED' END AS status,
    CASE WHEN j.status <> 'OK'
        THEN 'application ' || coalesce(nullif(j.application_name, ''), '(none)') END AS object,
    CASE WHEN j.sees_all THEN format('%s sessions in one statement', coalesce(j.sessions, 0)) END
        AS current_value,
    '< @statement_pileup.warning@' AS threshold,
    CASE WHEN NOT j.sees_all THEN 'other users'' statements are hidden from this role'
        WHEN j.status = 'OK' THEN 'statements that run for over 1 s; @processors@ processors'
        ELSE format(E'%s sessions run it on @processors@ processors, the first since %s, database '
            '%s%s%s\nquery: %s', j.sessions, j.since, j.datname,
            CASE WHEN j.applications > 1
                THEN format(', %s applications', j.applications) ELSE '' END,
            coalesce(', queryid ' || j.query_id, ''), left(j.query, 300))
    END AS evidence,
    CASE WHEN j.status <> 'OK'
        THEN 'One statement takes all processors: cancel its sessions, then find out why it is '
            'slow: its plan changed, an index is missing, or a table grew.'
        WHEN NOT j.sees_all THEN 'Grant pg_monitor to this role.'
        ELSE 'Nothing to do.'
    END AS recommendation,
    CASE WHEN j.status <> 'OK'
        THEN format('SELECT pid, %s FROM pg_catalog.pg_stat_activity '
            'WHERE state = ''active'' AND pid <> pg_catalog.pg_backend_pid() AND query_start < '
            'pg_catalog.now() - interval ''1 s'' AND %s%s;',
            CASE WHEN pg_is_in_recovery() THEN 'pg_catalog.pg_cancel_backend(pid)'
                ELSE 'crewsnow_ops.cancel_session(pid, backend_start)' END,
            CASE WHEN j.query_id IS NOT NULL THEN 'query_id = ' || j.query_id
                ELSE format('pg_catalog.md5(crewsnow_ops.mask_literals(query)) = %L',
                    md5(j.statement)) END,
@signalable@
            )
        WHEN NOT j.sees_all THEN format('GRANT pg_monitor TO %I;', current_user)
    END AS next_command,
    'now' AS since
FROM judged AS j
