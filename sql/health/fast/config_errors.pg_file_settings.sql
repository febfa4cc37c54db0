-- Limits: any error in a configuration file (ours). With such a file the server refuses to start,
-- or starts with other values than intended. A setting that only waits for a restart is no error:
-- Pending Settings reports it.
WITH errors AS (
    SELECT f.*, row_number() OVER (ORDER BY f.seqno) AS rank, count(*) OVER () AS total
    FROM pg_file_settings AS f
    WHERE f.error IS NOT NULL
        AND NOT (f.error = 'setting could not be applied'
            AND EXISTS (SELECT FROM pg_settings AS s
                WHERE s.name = f.name AND s.context = 'postmaster'))
)
SELECT
    'WARNING' AS status, coalesce(w.name, w.sourcefile) AS object, w.error AS current_value,
    'no error' AS threshold,
    format('%s line %s', w.sourcefile, w.sourceline)
        || CASE WHEN w.rank = 1 AND w.total > 5 THEN format('; %s more', w.total - 5) ELSE '' END
            AS evidence,
    'The next restart may fail, and reloads have no effect meanwhile: correct the file, then '
    'reload.' AS recommendation,
    E'SELECT sourcefile, sourceline, name, error FROM pg_file_settings WHERE error IS NOT NULL;'
        AS next_command,
    'now' AS since
FROM errors AS w
WHERE w.rank <= 5
UNION ALL
SELECT 'OK', NULL, '0', 'no error', NULL, 'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM errors)
