-- Limits: one damaged block is critical (check_pgactivity). A NULL datname means the shared
-- catalogs.
WITH
failures AS (
    SELECT d.datname, d.checksum_failures, d.checksum_last_failure,
        row_number() OVER (ORDER BY d.checksum_failures DESC NULLS LAST) AS rank,
        count(*) OVER () AS total
    FROM pg_stat_database AS d
    WHERE d.checksum_failures > 0
)
SELECT
    'CRITICAL' AS status, coalesce('database ' || f.datname, 'shared catalogs') AS object,
    f.checksum_failures || ' blocks' AS current_value,
    '0' AS threshold,
    format('last at %s', f.checksum_last_failure)
        || CASE WHEN f.rank = 1 AND f.total > 5 THEN format('; %s more databases', f.total - 5)
            ELSE '' END AS evidence,
    'Data on disk is damaged: fail over, or restore a backup from before the damage. Do not '
    'rewrite the damaged tables.' AS recommendation,
    'SELECT datname, checksum_failures, checksum_last_failure FROM pg_stat_database WHERE '
    'checksum_failures > 0;' AS next_command,
    'lifetime' AS since
FROM failures AS f
WHERE f.rank <= 5
UNION ALL
SELECT
    CASE WHEN current_setting('data_checksums') = 'on' THEN 'OK' ELSE 'SKIPPED' END, NULL,
    CASE WHEN current_setting('data_checksums') = 'on' THEN '0 blocks' END, '0',
    CASE WHEN current_setting('data_checksums') = 'on' THEN NULL
        ELSE 'data_checksums is off: damage on disk goes unnoticed' END,
    CASE WHEN current_setting('data_checksums') = 'on' THEN 'Nothing to do.'
        ELSE 'Enable checksums at the next shutdown (pg_checksums --enable).' END,
    CASE WHEN current_setting('data_checksums') <> 'on' THEN 'SHOW data_checksums;' END,
    'lifetime'
WHERE NOT EXISTS (SELECT FROM failures)
