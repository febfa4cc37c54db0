-- Limits: any. What waits for a restart is not an error here; pending_settings has it. The server would not start with such a file, or not as meant.
WITH wrong AS (
    SELECT f.*, row_number() OVER (ORDER BY f.seqno) AS place, count(*) OVER () AS found
    FROM pg_file_settings AS f
    WHERE f.error IS NOT NULL
        AND NOT (f.error = 'setting could not be applied'
            AND EXISTS (SELECT FROM pg_settings AS s WHERE s.name = f.name AND s.context = 'postmaster'))
)
SELECT
    'WARNING' AS status, coalesce(w.name, w.sourcefile) AS object, w.error AS current_value, 'no error' AS threshold,
    format('%s line %s', w.sourcefile, w.sourceline)
        || CASE WHEN w.place = 1 AND w.found > 5 THEN format('; %s more', w.found - 5) ELSE '' END AS evidence,
    'The next restart may fail, and reloads do nothing until it is mended: correct the file, then reload.' AS recommendation,
    E'SELECT sourcefile, sourceline, name, error FROM pg_file_settings WHERE error IS NOT NULL;' AS next_command,
    'now' AS since
FROM wrong AS w
WHERE w.place <= 5
UNION ALL
SELECT 'OK', NULL, '0', 'no error', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM wrong)
