-- Limit: the last run failed (ours). A job that works again is no problem.
WITH
recent AS (
    SELECT d.jobid, d.runid, d.status, d.end_time
    FROM cron.job_run_details AS d
    WHERE NOT pg_is_in_recovery()
    ORDER BY d.runid DESC
    LIMIT 30000
),
ended AS (
    SELECT r.jobid, max(r.runid) AS runid,
        max(r.runid) FILTER (WHERE r.status = 'succeeded') AS last_success,
        max(r.end_time) FILTER (WHERE r.status = 'succeeded') AS succeeded_at
    FROM recent AS r
    WHERE r.status IN ('succeeded', 'failed')
    GROUP BY r.jobid
),
failing AS (
    SELECT e.jobid, d.return_message AS message, e.succeeded_at,
        coalesce(j.jobname, 'number ' || j.jobid) AS name, j.database, j.username,
        (SELECT count(*) FROM recent AS f WHERE f.jobid = e.jobid AND f.status = 'failed'
            AND f.runid > coalesce(e.last_success, 0)) AS failures
    FROM ended AS e
    JOIN cron.job AS j ON j.jobid = e.jobid AND j.active
    JOIN cron.job_run_details AS d ON d.runid = e.runid
    WHERE e.runid IS DISTINCT FROM e.last_success
),
ranked AS (
    SELECT f.*, row_number() OVER (ORDER BY f.failures DESC, f.jobid) AS rank,
        count(*) OVER () AS total
    FROM failing AS f
)
SELECT 'WARNING' AS status, 'job ' || r.name AS object,
    format('%s runs failed', r.failures) AS current_value, 'the last run succeeds' AS threshold,
    format('role %s in database %s: %s', r.username, r.database,
        coalesce(left(regexp_replace(r.message, '\s+', ' ', 'g'), 160), 'no message'))
        || CASE WHEN r.rank = 1 AND r.total > 5 THEN format('; %s more', r.total - 5) ELSE '' END
        AS evidence,
    CASE
        WHEN r.message LIKE 'connection failed%' THEN 'pg_cron cannot log in: allow its role in '
            'pg_hba.conf, or set cron.use_background_workers.'
        WHEN r.message LIKE '%startup timeout%' OR r.message LIKE '%background process%'
            THEN 'No worker slot was free: raise max_worker_processes, or run fewer jobs at once.'
        ELSE 'The command of the job fails: run it by hand as its role, and correct it.'
    END AS recommendation,
    format('SELECT status, return_message, start_time FROM cron.job_run_details '
        'WHERE jobid = %s ORDER BY runid DESC LIMIT 5;', r.jobid) AS next_command,
    coalesce('since ' || r.succeeded_at, 'as far as recorded') AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT CASE WHEN u.reason IS NULL THEN 'OK' ELSE 'SKIPPED' END, NULL,
    format('%s jobs', (SELECT count(*) FROM ended AS e)), 'the last run succeeds',
    u.reason,
    CASE WHEN u.reason IS NULL THEN 'Nothing to do.'
        ELSE 'This check has no result: treat failing jobs as unknown, not as OK.' END,
    NULL, 'now'
FROM (SELECT CASE
        WHEN EXISTS (SELECT FROM pg_settings AS s WHERE s.name = 'cron.log_run'
            AND s.setting = 'off') THEN 'cron.log_run is off, so no run is on record'
        WHEN row_security_active('cron.job') AND (NOT EXISTS (SELECT FROM cron.job)
            OR EXISTS (SELECT FROM crewsnow_ops.scheduled_jobs AS s
                WHERE s.username <> current_user))
            THEN 'pg_cron hides the jobs of other roles from ' || current_user
    END AS reason) AS u
WHERE NOT EXISTS (SELECT FROM ranked) AND NOT pg_is_in_recovery()
UNION ALL
SELECT 'OK', NULL, 'a standby', 'the last run succeeds', NULL, 'Nothing to do.', NULL, 'now'
WHERE pg_is_in_recovery()
