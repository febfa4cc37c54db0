-- Fallback without a readable cron.job_run_details. No row without pg_cron.
SELECT 'SKIPPED' AS status, NULL AS object, NULL AS current_value,
    'the last run succeeds' AS threshold,
    'schema cron cannot be used by ' || current_user AS evidence,
    'GRANT USAGE ON SCHEMA cron to the role that watches jobs.' AS recommendation,
    NULL AS next_command, 'now' AS since
FROM pg_extension AS e
WHERE e.extname = 'pg_cron' AND NOT pg_is_in_recovery()
