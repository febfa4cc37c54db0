-- Fallback without a readable cron.job_run_details.
SELECT 'SKIPPED' AS status, NULL AS object, NULL AS current_value,
    'the last run succeeds' AS threshold,
    'schema cron cannot be used by ' || current_user AS evidence,
    'GRANT USAGE ON SCHEMA cron to the role that watches jobs.' AS recommendation,
    NULL AS next_command, 'now' AS since
FROM pg_extension AS e
WHERE e.extname = 'pg_cron' AND NOT pg_is_in_recovery()
UNION ALL
SELECT 'OK', NULL, CASE WHEN pg_is_in_recovery() THEN 'a standby' ELSE 'no pg_cron' END,
    'the last run succeeds', NULL, 'Nothing to do.', NULL, 'now'
WHERE pg_is_in_recovery() OR NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pg_cron')
