-- Limits: any (ours): the next restart, planned or not, changes the server.
WITH pending AS (
    SELECT string_agg(s.name, ', ' ORDER BY s.name) AS names, count(*) AS total
    FROM pg_settings AS s WHERE s.pending_restart
)
SELECT
    CASE WHEN p.total > 0 THEN 'WARNING' ELSE 'OK' END AS status, NULL::text AS object,
    p.total::text AS current_value, '0' AS threshold,
    p.names AS evidence,
    CASE WHEN p.total > 0
        THEN 'Changed settings wait for a restart: the next one, planned or not, changes how the '
            'server behaves.'
        ELSE 'Nothing to do.'
    END AS recommendation,
    CASE WHEN p.total > 0
        THEN 'SELECT name, setting, sourcefile, sourceline FROM pg_settings WHERE pending_restart;'
            END AS next_command,
    'now' AS since
FROM pending AS p
