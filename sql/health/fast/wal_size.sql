-- Fallback for roles that may not call pg_ls_waldir().
SELECT
    'SKIPPED' AS status, NULL::text AS object, NULL::text AS current_value,
    '< @wal_size.warning@ x max_wal_size' AS threshold,
    'this role may not call pg_ls_waldir()' AS evidence,
    'Grant pg_monitor to this role.' AS recommendation,
    format('GRANT pg_monitor TO %I;', current_user) AS next_command, 'now' AS since
