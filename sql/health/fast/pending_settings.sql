-- Limits: any. The next restart, planned or not, changes the server.
WITH waiting AS (
    SELECT string_agg(s.name, ', ' ORDER BY s.name) AS names, count(*) AS found FROM pg_settings AS s WHERE s.pending_restart
)
SELECT
    CASE WHEN w.found > 0 THEN 'WARNING' ELSE 'OK' END AS status, NULL::text AS object, w.found::text AS current_value, '0' AS threshold,
    w.names AS evidence,
    CASE WHEN w.found > 0 THEN 'These settings were changed and wait for a restart: the next one, planned or not, changes how the server behaves.'
        ELSE 'Nothing to do.'
    END AS recommendation,
    CASE WHEN w.found > 0 THEN 'SELECT name, setting, sourcefile, sourceline FROM pg_settings WHERE pending_restart;' END AS next_command,
    'now' AS since
FROM waiting AS w
