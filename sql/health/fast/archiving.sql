-- Limits: fails now and did so within the hour: critical, else a warning (pgEdge's recency rule, not the cumulative failed_count).
WITH
archiver AS (
    SELECT a.*, current_setting('archive_mode') AS mode,
        coalesce(a.last_failed_time > a.last_archived_time, a.last_failed_time IS NOT NULL) AS is_failing,
        current_setting('archive_command') IN ('', '(disabled)') AND coalesce(current_setting('archive_library', true), '') = '' AS is_nothing
    FROM pg_stat_archiver AS a
),
judged AS (
    SELECT a.*,
        CASE WHEN a.mode = 'off' OR (pg_is_in_recovery() AND a.mode <> 'always') THEN 'OK'
            WHEN a.is_nothing THEN 'CRITICAL'
            WHEN a.is_failing AND a.last_failed_time > statement_timestamp() - interval '1 hour' THEN 'CRITICAL'
            WHEN a.is_failing OR a.last_failed_time > statement_timestamp() - interval '1 hour' THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM archiver AS a
)
SELECT
    j.status, NULL::text AS object,
    CASE WHEN j.mode = 'off' THEN 'archive_mode is off'
        WHEN pg_is_in_recovery() AND j.mode <> 'always' THEN 'a standby does not archive'
        WHEN j.is_nothing THEN 'no archive_command'
        WHEN j.is_failing THEN 'failing'
        WHEN j.last_archived_time IS NULL THEN 'nothing archived yet'
        ELSE 'archiving'
    END AS current_value,
    'no failure since the last success' AS threshold,
    CASE WHEN j.mode <> 'off' THEN concat_ws(', ', format('last archived %s at %s', j.last_archived_wal, j.last_archived_time),
        format('last failed %s at %s', j.last_failed_wal, j.last_failed_time), j.failed_count || ' failures in all') END AS evidence,
    CASE WHEN j.status = 'OK' THEN 'Nothing to do.'
        WHEN j.status = 'WARNING' AND NOT j.is_failing THEN 'It failed within the last hour and works again: read in the server''s log why.'
        ELSE 'WAL piles up until the disk is full, and a restore would end before now: the server''s log says why the command fails.'
    END AS recommendation,
    CASE WHEN j.status = 'OK' THEN NULL
        WHEN j.is_nothing THEN 'SHOW archive_command;'
        ELSE E'SELECT * FROM pg_stat_archiver;\nSHOW archive_command;'
    END AS next_command,
    'lifetime since ' || to_char(j.stats_reset, 'YYYY-MM-DD HH24:MI') AS since
FROM judged AS j
