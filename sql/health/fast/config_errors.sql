-- Where config_errors.*.sql cannot run.
SELECT
    'SKIPPED' AS status, NULL::text AS object, NULL::text AS current_value, '0' AS threshold,
    'pg_file_settings may not be read by this role' AS evidence,
    'Only superusers may read it unless granted.' AS recommendation,
    format(E'GRANT SELECT ON pg_file_settings TO %1$I;\nGRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO %1$I;', current_user)
        AS next_command,
    'now' AS since
