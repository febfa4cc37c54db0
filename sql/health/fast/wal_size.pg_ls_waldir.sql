-- Limits: twice the larger of max_wal_size and wal_keep_size; critical ten times (ours;
-- check_postgres counts 10 and 15 files).
WITH size AS (
    SELECT coalesce(sum(f.size), 0) AS bytes, count(*) AS files,
        greatest(pg_size_bytes(current_setting('max_wal_size')),
            pg_size_bytes(current_setting('wal_keep_size'))) AS planned
    FROM pg_ls_waldir() AS f
)
SELECT
    CASE WHEN s.bytes >= 10 * s.planned THEN 'CRITICAL'
        WHEN s.bytes >= @wal_size.warning@ * s.planned THEN 'WARNING' ELSE 'OK' END AS status,
    NULL::text AS object, pg_size_pretty(s.bytes) AS current_value,
    '< ' || pg_size_pretty(@wal_size.warning@ * s.planned) AS threshold,
    format('%s files in pg_wal; max_wal_size %s, wal_keep_size %s', s.files,
        current_setting('max_wal_size'), current_setting('wal_keep_size'))
        AS evidence,
    CASE WHEN s.bytes >= @wal_size.warning@ * s.planned
        THEN 'A replication slot, failing archiving or slow checkpoints keep WAL, and a full disk '
            'stops the server: find the cause.'
        ELSE 'Nothing to do.'
    END AS recommendation,
    CASE WHEN s.bytes >= @wal_size.warning@ * s.planned
        THEN 'SELECT slot_name, active, wal_status, pg_size_pretty(pg_wal_lsn_diff('
            || CASE WHEN pg_is_in_recovery() THEN 'pg_last_wal_replay_lsn()'
                ELSE 'pg_current_wal_lsn()' END
            || ', restart_lsn)) AS retained FROM pg_replication_slots ORDER BY restart_lsn;'
    END AS next_command,
    'now' AS since
FROM size AS s
