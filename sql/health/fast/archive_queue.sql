-- Where archive_queue.*.sql cannot run.
SELECT
    'SKIPPED' AS status, NULL::text AS object, NULL::text AS current_value, '< 10 files' AS threshold,
    'pg_ls_archive_statusdir() may not be called by this role' AS evidence,
    'Let this role count the files.' AS recommendation, format('GRANT pg_monitor TO %I;', current_user) AS next_command, 'now' AS since
