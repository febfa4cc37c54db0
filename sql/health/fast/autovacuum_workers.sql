-- Limits: critical if autovacuum is off (pgdoctor fails it). A warning if all workers are busy, or
-- if one vacuums to prevent wraparound, because that worker does not yield to other lock requests.
WITH
workers AS (
    SELECT s.pid, s.datname, s.query, s.xact_start, s.wait_event_type,
        s.query LIKE '%(to prevent wraparound)' AS is_urgent
    FROM pg_stat_activity AS s
    WHERE s.backend_type = 'autovacuum worker'
),
-- Statements that wait for a worker against wraparound, and everything behind them.
queued AS MATERIALIZED (
    SELECT s.pid, k.kind, c.command,
        row_number() OVER (ORDER BY s.query_start) AS rank, count(*) OVER () AS total
    FROM pg_locks AS l
    JOIN pg_stat_activity AS s ON s.pid = l.pid
@session_cut@
    WHERE NOT l.granted AND l.locktype = 'relation' AND EXISTS (SELECT FROM workers AS w
        WHERE w.is_urgent AND w.pid = ANY (pg_blocking_pids(l.pid)))
),
state AS (
    SELECT
        pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
        current_setting('autovacuum')::boolean
            AND current_setting('track_counts')::boolean AS is_on,
        least(current_setting('autovacuum_max_workers')::integer,
            current_setting('autovacuum_worker_slots', true)::integer) AS max_workers,
        (SELECT count(*) FROM workers) AS busy,
        (SELECT string_agg(format('pid %s in %s since %s%s: %s', w.pid, w.datname, w.xact_start,
            CASE WHEN w.wait_event_type = 'Lock' THEN ' (waits for a lock)' ELSE '' END,
            left(w.query, 100)), '; ' ORDER BY w.xact_start)
            FROM (SELECT * FROM workers AS w ORDER BY w.is_urgent DESC, w.xact_start LIMIT 3) AS w)
                AS details,
        EXISTS (SELECT FROM workers AS w WHERE w.is_urgent) AS is_urgent,
        q.kind, q.command, format('pid %s waits for it%s', q.pid,
            CASE WHEN q.total > 1 THEN format(', and so do %s more', q.total - 1) END) AS waiter
    FROM (SELECT) AS o
    LEFT JOIN queued AS q ON q.rank = 1
),
judged AS (
    SELECT s.*,
        CASE WHEN NOT s.is_on THEN 'CRITICAL'
            WHEN NOT s.sees_all THEN 'SKIPPED'
            WHEN s.busy >= s.max_workers OR s.is_urgent THEN 'WARNING' ELSE 'OK' END
            AS status
    FROM state AS s
)
SELECT
    j.status, NULL::text AS object,
    CASE WHEN NOT j.is_on THEN 'off'
        WHEN j.sees_all THEN format('%s of %s workers busy', j.busy, j.max_workers) END
            AS current_value,
    'on, < ' || j.max_workers || ' busy' AS threshold,
    CASE WHEN NOT j.is_on
        THEN format('autovacuum %s, track_counts %s', current_setting('autovacuum'),
            current_setting('track_counts'))
        WHEN NOT j.sees_all THEN 'background processes are hidden from this role'
        ELSE concat_ws('; ', j.details, CASE WHEN j.command IS NOT NULL THEN j.waiter END)
    END AS evidence,
    CASE WHEN NOT j.is_on
        THEN 'Tables grow, queries slow down, and in the end the database refuses writes: turn '
            'autovacuum on.'
        WHEN j.status = 'SKIPPED' THEN 'Grant pg_monitor to this role.'
        WHEN j.is_urgent AND j.kind = 'client'
            THEN 'A vacuum to prevent wraparound does not yield, and must finish: cancel the '
                'statement that queues behind it, which blocks others in turn.'
        WHEN j.is_urgent
            THEN 'A vacuum to prevent wraparound does not yield to ALTER TABLE: let it finish, and '
                'queue no DDL behind it.'
        WHEN j.status = 'WARNING'
            THEN 'Other tables wait for a worker: if this lasts, raise '
                'autovacuum_vacuum_cost_limit, then autovacuum_max_workers.'
        ELSE 'Nothing to do.'
    END AS recommendation,
    CASE WHEN NOT j.is_on
        THEN E'ALTER SYSTEM SET autovacuum = on;\nALTER SYSTEM SET track_counts = on;\nSELECT '
            'pg_reload_conf();'
        WHEN j.status = 'SKIPPED' THEN format('GRANT pg_monitor TO %I;', current_user)
        WHEN j.is_urgent AND j.kind = 'client' THEN j.command
        WHEN j.status = 'WARNING' THEN 'SELECT * FROM pg_stat_progress_vacuum;'
    END AS next_command,
    'now' AS since
FROM judged AS j
