-- Limits: critical if the last attempt failed, and within the last hour (pgEdge judges by recency,
-- not by the cumulative failed_count). A warning if it failed earlier, or within the hour and
-- archiving works again.
WITH
archiver AS (
    SELECT a.*, current_setting('archive_mode') AS mode,
        coalesce(a.last_failed_time > a.last_archived_time, a.last_failed_time IS NOT NULL)
            AS is_failing,
        current_setting('archive_command') IN ('', '(disabled)')
            AND coalesce(current_setting('archive_library', true), '') = '' AS has_no_command
    FROM pg_stat_archiver AS a
),
judged AS (
    SELECT a.*,
        CASE WHEN a.mode = 'off' OR (pg_is_in_recovery() AND a.mode <> 'always') THEN 'OK'
            WHEN a.has_no_command THEN 'CRITICAL'
            WHEN a.is_failing AND a.last_failed_time > statement_timestamp() - interval '1 hour'
                THEN 'CRITICAL'
            WHEN a.is_failing OR a.last_failed_time > statement_timestamp() - interval '1 hour'
                THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM archiver AS a
)
SELECT
    j.status, NULL::text AS object,
    CASE WHEN j.mode = 'off' THEN 'archive_mode is off'
        WHEN pg_is_in_recovery() AND j.mode <> 'always' THEN 'a standby does not archive'
        WHEN j.has_no_command THEN 'no archive_command'
        WHEN j.is_failing THEN 'failing'
        WHEN j.last_archived_time IS NULL THEN 'nothing archived yet'
        ELSE 'archiving'
    END AS current_value,
    'no failure since the last success' AS threshold,
    CASE WHEN j.mode <> 'off'
        THEN concat_ws(', ',
            format('last archived %s at %s', j.last_archived_wal, j.last_archived_time),
        format('last failed %s at %s', j.last_failed_wal, j.last_failed_time),
        j.failed_count || ' failures in total') END AS evidence,
    CASE WHEN j.status = 'OK' THEN 'Nothing to do.'
        WHEN j.status = 'WARNING' AND NOT j.is_failing
            THEN 'Archiving failed within the last hour and works again: read the cause in the '
                'server log.'
        ELSE 'WAL piles up until the disk is full, and a restore cannot reach the present: read '
            'the cause in the server log.'
    END AS recommendation,
    CASE WHEN j.status = 'OK' THEN NULL
        WHEN j.has_no_command THEN 'SHOW archive_command;'
        ELSE E'SELECT * FROM pg_stat_archiver;\nSHOW archive_command;'
    END AS next_command,
    'lifetime since ' || to_char(j.stats_reset, 'YYYY-MM-DD HH24:MI') AS since
FROM judged AS j
