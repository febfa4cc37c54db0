-- Where wal_size.*.sql cannot run.
SELECT
    'SKIPPED' AS status, NULL::text AS object, NULL::text AS current_value, '< 2 x max_wal_size' AS threshold,
    'pg_ls_waldir() may not be called by this role' AS evidence,
    'Let this role see the sizes.' AS recommendation, format('GRANT pg_monitor TO %I;', current_user) AS next_command, 'now' AS since
