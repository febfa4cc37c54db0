-- Fallback for roles that may not call pg_ls_archive_statusdir().
SELECT
    'SKIPPED' AS status, NULL::text AS object, NULL::text AS current_value,
    '< @archive_queue.warning@ files' AS threshold,
    'this role may not call pg_ls_archive_statusdir()' AS evidence,
    'Grant pg_monitor to this role.' AS recommendation,
    format('GRANT pg_monitor TO %I;', current_user) AS next_command, 'now' AS since
