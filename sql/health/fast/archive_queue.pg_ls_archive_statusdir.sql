-- Limits: 10 and 15 WAL files that wait to be archived (check_postgres).
WITH ready AS (
    SELECT count(*) AS files, min(f.modification) AS oldest FROM pg_ls_archive_statusdir() AS f
    WHERE f.name LIKE '%.ready'
)
SELECT
    CASE WHEN r.files >= @archive_queue.critical@ THEN 'CRITICAL'
        WHEN r.files >= @archive_queue.warning@ THEN 'WARNING' ELSE 'OK' END
        AS status, NULL::text AS object,
    format('%s files', r.files) AS current_value, '< @archive_queue.warning@ files' AS threshold,
    CASE WHEN r.files > 0 THEN format('the oldest has waited since %s', r.oldest) END AS evidence,
    CASE WHEN r.files >= @archive_queue.warning@
        THEN 'Archiving fails or is too slow: WAL piles up until the disk is full.'
            ELSE 'Nothing to do.' END AS recommendation,
    CASE WHEN r.files >= @archive_queue.warning@ THEN 'SELECT * FROM pg_stat_archiver;' END
        AS next_command,
    'now' AS since
FROM ready AS r
