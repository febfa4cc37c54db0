-- Limits: ten active sessions, and more than half of all, in the same wait (ours; the tools only
-- show waits).
WITH
active AS (
    SELECT coalesce(s.wait_event_type || ':' || s.wait_event, 'CPU') AS wait
    FROM pg_stat_activity AS s
    WHERE s.state = 'active' AND s.backend_type IN ('client backend', 'parallel worker')
        AND s.pid <> pg_backend_pid()
),
waits AS (
    SELECT a.wait, count(*) AS sessions, sum(count(*)) OVER () AS total,
        row_number() OVER (ORDER BY count(*) DESC, a.wait) AS rank
    FROM active AS a
    GROUP BY a.wait
),
judged AS (
    SELECT
        (SELECT string_agg(format('%s %s', w.wait, w.sessions), ', ' ORDER BY w.rank)
            FROM waits AS w WHERE w.rank <= 5) AS profile,
        t.wait, t.sessions, t.total,
        CASE WHEN NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') THEN 'SKIPPED'
            WHEN t.sessions >= 10 AND t.sessions * 2 > t.total AND t.wait <> 'CPU' THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM (SELECT 1) AS one
    LEFT JOIN waits AS t ON t.rank = 1
)
SELECT
    j.status, NULL::text AS object,
    CASE WHEN j.status <> 'SKIPPED' THEN coalesce(j.profile, 'no active session') END
        AS current_value,
    '< 10 in the same wait' AS threshold,
    CASE WHEN j.status = 'SKIPPED' THEN 'other users'' waits are hidden from this role'
        ELSE format('%s active sessions and parallel workers', coalesce(j.total, 0)) END
            AS evidence,
    CASE j.status WHEN 'SKIPPED' THEN 'Grant pg_monitor to this role.'
        WHEN 'WARNING' THEN
            CASE split_part(j.wait, ':', 1)
                WHEN 'Lock' THEN 'The sessions queue for a lock: end the root blocker.'
                WHEN 'LWLock'
                    THEN 'The sessions compete inside the server: run fewer of them at once.'
                WHEN 'IO'
                    THEN 'The sessions wait for the disk: find the statements that read or write '
                        'most.'
                WHEN 'Client'
                    THEN 'The sessions wait for their clients: check the network and the '
                        'application.'
                WHEN 'IPC'
                    THEN 'The sessions wait for other processes, such as a synchronous standby.'
                ELSE 'Most active sessions share one wait: find out its cause.'
            END
        ELSE 'Nothing to do.'
    END AS recommendation,
    CASE j.status WHEN 'SKIPPED' THEN format('GRANT pg_monitor TO %I;', current_user)
        WHEN 'WARNING'
            THEN CASE WHEN j.wait LIKE 'Lock:%' THEN 'SELECT * FROM crewsnow_ops.blocking_tree;'
            ELSE format('SELECT pid, usename, application_name, query_start FROM pg_stat_activity '
                'WHERE wait_event = %L ORDER BY query_start;',
                split_part(j.wait, ':', 2)) END
    END AS next_command,
    'now' AS since
FROM judged AS j
