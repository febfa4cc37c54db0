-- Fallback for roles that may not read pg_file_settings.
SELECT
    'SKIPPED' AS status, NULL::text AS object, NULL::text AS current_value, '0' AS threshold,
    'this role may not read pg_file_settings' AS evidence,
    'Grant this role access to pg_file_settings.' AS recommendation,
    format(E'GRANT SELECT ON pg_file_settings TO %1$I;\nGRANT EXECUTE ON FUNCTION '
        'pg_show_all_file_settings() TO %1$I;', current_user)
        AS next_command,
    'now' AS since
