-- Limit: 5 minutes late (ours). A job is due by its schedule after its last run, or after
-- schedule_maintenance registered it. Jobs of others that have no run on record are not judged:
-- pg_cron keeps no time of their registration.
WITH
server AS (
    -- The settings are hidden from most roles. A preloaded library has them all.
    SELECT (SELECT s.setting FROM pg_settings AS s WHERE s.name = 'cron.database_name') AS home,
        (SELECT s.setting FROM pg_settings AS s WHERE s.name = 'cron.log_run') AS log_run,
        coalesce((SELECT s.setting FROM pg_settings AS s WHERE s.name = 'cron.timezone'), 'GMT')
            AS zone,
        pg_has_role('pg_read_all_settings', 'USAGE') AND pg_has_role('pg_read_all_stats', 'USAGE')
            AS sees_server,
        row_security_active('cron.job') AS is_filtered,
        statement_timestamp() AS now
    WHERE NOT pg_is_in_recovery()
),
runs AS (
    SELECT r.jobid, max(r.runid) AS runid, max(r.start_time) AS start_time,
        min(r.start_time) AS oldest
    FROM (SELECT d.jobid, d.runid, d.start_time FROM cron.job_run_details AS d
        ORDER BY d.runid DESC LIMIT 30000) AS r
    GROUP BY r.jobid
),
history AS (
    SELECT min(r.oldest) AS oldest,
        -- Runs that were deleted prove nothing about a job.
        count(*) = 0 AND EXISTS (SELECT FROM pg_sequences AS q WHERE q.schemaname = 'cron'
            AND q.sequencename = 'runid_seq' AND q.last_value IS NOT NULL) AS is_deleted
    FROM runs AS r
),
latest AS (
    SELECT r.jobid,
        -- A run that could not start has no time: it came after the runs before it.
        greatest(r.start_time, CASE WHEN d.start_time IS NULL THEN (SELECT e.start_time
            FROM cron.job_run_details AS e
            WHERE e.runid < r.runid AND e.start_time IS NOT NULL
            ORDER BY e.runid DESC LIMIT 1) END) AS seen,
        d.status NOT IN ('succeeded', 'failed')
            AND EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = d.job_pid) AS is_running
    FROM runs AS r
    JOIN cron.job_run_details AS d ON d.runid = r.runid
),
ours AS (
    SELECT s.jobid, s.job_name, s.scheduled_at
    FROM crewsnow_ops.scheduled_jobs AS s, server AS v
    WHERE s.username = current_user OR NOT v.is_filtered
),
jobs AS (
    SELECT j.jobid, coalesce(j.jobname, 'number ' || j.jobid) AS name, j.schedule, j.active,
        o.jobid IS NOT NULL AS is_ours, coalesce(l.is_running, false) AS is_running,
        CASE WHEN NOT h.is_deleted
            THEN coalesce(l.seen, CASE WHEN o.jobid IS NOT NULL
                THEN greatest(o.scheduled_at, h.oldest) END) END AS seen,
        o.scheduled_at
    FROM cron.job AS j
    CROSS JOIN history AS h
    LEFT JOIN latest AS l ON l.jobid = j.jobid
    LEFT JOIN ours AS o ON o.jobid = j.jobid
),
dues AS (
    SELECT j.*, n.due, p.next_due
    FROM jobs AS j
    CROSS JOIN server AS v
    CROSS JOIN LATERAL (SELECT crewsnow_ops.next_cron_time(j.schedule,
        greatest(j.seen, j.scheduled_at) AT TIME ZONE v.zone) AT TIME ZONE v.zone) AS n (due)
    CROSS JOIN LATERAL (SELECT crewsnow_ops.next_cron_time(j.schedule,
        n.due AT TIME ZONE v.zone) AT TIME ZONE v.zone) AS p (next_due)
    WHERE j.active AND j.seen IS NOT NULL
),
late AS (
    SELECT d.jobid, d.name, d.is_running,
        -- A frequent job misses nothing by a restart of the server: it runs again soon.
        CASE WHEN d.due < pg_postmaster_start_time()
                AND d.next_due - d.due < interval '1 hour'
            THEN crewsnow_ops.next_cron_time(d.schedule,
                pg_postmaster_start_time() AT TIME ZONE v.zone) AT TIME ZONE v.zone
            ELSE d.due END AS due
    FROM dues AS d CROSS JOIN server AS v
),
faults AS (
    SELECT 1 AS kind, NULL::text AS name, NULL::bigint AS jobid, NULL::timestamptz AS due,
        coalesce('jobs are in database ' || nullif(v.home, current_database()),
            CASE WHEN v.home IS NULL THEN 'the library is not preloaded'
                ELSE 'its launcher is not running' END) AS evidence
    FROM server AS v
    WHERE v.sees_server AND EXISTS (SELECT FROM jobs AS j WHERE j.active)
        -- The server starts a launcher that ended again within seconds.
        AND (v.home IS DISTINCT FROM current_database()
            OR NOT EXISTS (SELECT FROM pg_stat_activity AS a
                WHERE a.backend_type LIKE 'pg\_cron%')
            AND (SELECT max(greatest(j.seen, j.scheduled_at)) FROM jobs AS j)
                < v.now - interval '2 minutes')
    UNION ALL
    SELECT 2, o.job_name, o.jobid, NULL, 'it vanished; scheduled ' || o.scheduled_at
    FROM ours AS o
    WHERE NOT EXISTS (SELECT FROM jobs AS j WHERE j.jobid = o.jobid)
    UNION ALL
    SELECT 3, j.name, j.jobid, NULL, 'it is switched off'
    FROM jobs AS j
    WHERE j.is_ours AND NOT j.active
    UNION ALL
    SELECT 4, l.name, l.jobid, l.due, 'due ' || l.due || CASE
        WHEN l.due < pg_postmaster_start_time() THEN ', while the server was down; '
            'pg_cron does not run it later' ELSE '' END
    FROM late AS l CROSS JOIN server AS v
    WHERE NOT l.is_running AND v.log_run IS DISTINCT FROM 'off'
        AND l.due < v.now - interval '@cron_overdue.warning@ minutes'
),
ranked AS (
    SELECT f.*, row_number() OVER (ORDER BY f.kind, f.due, f.jobid) AS rank,
        count(*) OVER () AS total
    FROM faults AS f
)
SELECT 'WARNING' AS status, coalesce('job ' || r.name, 'pg_cron') AS object,
    CASE r.kind WHEN 1 THEN 'runs no job' WHEN 2 THEN 'vanished' WHEN 3 THEN 'switched off'
        ELSE date_trunc('second', v.now - r.due) || ' late' END AS current_value,
    '< @cron_overdue.warning@ minutes late' AS threshold,
    r.evidence || CASE WHEN r.rank = 1 AND r.total > 5 THEN format('; %s more', r.total - 5)
        ELSE '' END AS evidence,
    CASE r.kind
        WHEN 1 THEN 'No job of pg_cron runs: preload pg_cron, name this database in '
            'cron.database_name, and restart the server.'
        WHEN 2 THEN 'The job was removed without unschedule_maintenance: schedule it again.'
        WHEN 3 THEN 'The job was switched off: switch it on, or unschedule maintenance.'
        ELSE 'The job does not run: look at its last runs, at the launcher and at free worker '
            'slots, then run its command by hand.'
    END AS recommendation,
    CASE r.kind
        WHEN 1 THEN 'SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN '
            '(''shared_preload_libraries'', ''cron.database_name'');'
        WHEN 2 THEN 'SELECT * FROM crewsnow_ops.schedule_maintenance();'
        WHEN 3 THEN format('SELECT cron.alter_job(job_id => %s, active => true);', r.jobid)
        ELSE format('SELECT status, return_message, start_time FROM cron.job_run_details '
            'WHERE jobid = %s ORDER BY runid DESC LIMIT 5;', r.jobid)
    END AS next_command,
    'now' AS since
FROM ranked AS r CROSS JOIN server AS v
WHERE r.rank <= 5
UNION ALL
SELECT CASE WHEN u.reason IS NULL THEN 'OK' ELSE 'SKIPPED' END, NULL,
    format('%s jobs', (SELECT count(*) FROM jobs AS j WHERE j.active)),
    '< @cron_overdue.warning@ minutes late',
    coalesce(u.reason, format('%s without a run on record are not judged',
        (SELECT count(*) FROM jobs AS j WHERE j.active AND j.seen IS NULL))),
    CASE WHEN u.reason IS NULL THEN 'Nothing to do.'
        ELSE 'This check has no result: treat late jobs as unknown, not as OK.' END,
    NULL, 'now'
FROM (SELECT CASE
        WHEN v.log_run = 'off' THEN 'cron.log_run is off, so no run is on record'
        WHEN v.is_filtered AND (NOT EXISTS (SELECT FROM jobs) OR EXISTS (SELECT
            FROM crewsnow_ops.scheduled_jobs AS s WHERE s.username <> current_user))
            THEN 'pg_cron hides the jobs of other roles from ' || current_user
    END AS reason FROM server AS v) AS u
WHERE NOT EXISTS (SELECT FROM ranked)
UNION ALL
SELECT 'OK', NULL, 'a standby', '< @cron_overdue.warning@ minutes late', NULL,
    'Nothing to do.', NULL, 'now'
WHERE pg_is_in_recovery()
