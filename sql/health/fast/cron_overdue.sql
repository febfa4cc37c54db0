-- Fallback without a readable cron.job_run_details.
SELECT 'SKIPPED' AS status, NULL AS object, NULL AS current_value,
    '< @cron_overdue.warning@ minutes late' AS threshold,
    'schema cron cannot be used by ' || current_user AS evidence,
    'GRANT USAGE ON SCHEMA cron to the role that watches jobs.' AS recommendation,
    NULL AS next_command, 'now' AS since
FROM pg_extension AS e
WHERE e.extname = 'pg_cron' AND NOT pg_is_in_recovery()
UNION ALL
SELECT 'WARNING', 'pg_cron', 'dropped', '< @cron_overdue.warning@ minutes late',
    format('%s jobs were scheduled', s.jobs),
    'The jobs are gone with pg_cron: schedule maintenance again.',
    'SELECT * FROM crewsnow_ops.schedule_maintenance();', 'now'
FROM (SELECT count(*) AS jobs FROM crewsnow_ops.scheduled_jobs) AS s
WHERE s.jobs > 0 AND NOT pg_is_in_recovery()
    AND NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pg_cron')
UNION ALL
SELECT 'OK', NULL, CASE WHEN pg_is_in_recovery() THEN 'a standby' ELSE 'no pg_cron' END,
    '< @cron_overdue.warning@ minutes late', NULL, 'Nothing to do.', NULL, 'now'
WHERE pg_is_in_recovery() OR (NOT EXISTS (SELECT FROM crewsnow_ops.scheduled_jobs)
    AND NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pg_cron'))
