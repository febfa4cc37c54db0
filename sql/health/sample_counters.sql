-- All cumulative counters that the rate checks need. Each part has numbers and counting_since, the
-- time when its counting began, in seconds since 1970; "since" is the same time as text. After a
-- crash pg_stat_database.stats_reset is NULL; the reset time of the checkpoint counters then stands
-- in.
WITH
checkpoints AS (@checkpoints@),
databases AS (
    SELECT d.*,
        d.datid = (SELECT b.oid FROM pg_database AS b WHERE b.datname = current_database())
            AS is_here
    FROM pg_stat_database AS d
),
parts AS (
    SELECT
        coalesce(d.is_here, false) AS is_here,
        jsonb_build_object(
            'xact_commit', sum(d.xact_commit), 'xact_rollback', sum(d.xact_rollback),
            'blks_read', sum(d.blks_read), 'blks_hit', sum(d.blks_hit),
            'temp_files', sum(d.temp_files), 'temp_bytes', sum(d.temp_bytes),
            'deadlocks', sum(d.deadlocks), 'conflicts', sum(d.conflicts),
            'active_ms', round(sum(d.active_time)::numeric), 'sessions', sum(d.sessions),
            'sessions_abandoned', sum(d.sessions_abandoned),
            'sessions_fatal', sum(d.sessions_fatal), 'sessions_killed', sum(d.sessions_killed),
            'counting_since', extract(epoch FROM coalesce(max(d.stats_reset), max(b.stats_reset))),
            'since', to_char(coalesce(max(d.stats_reset), max(b.stats_reset)), 'YYYY-MM-DD HH24:MI')
        ) AS counters
    FROM databases AS d
    CROSS JOIN checkpoints AS b
    GROUP BY coalesce(d.is_here, false)
)
SELECT
    jsonb_build_object(
        'at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00',
        'epoch', extract(epoch FROM clock_timestamp()),
        'postmaster_start', extract(epoch FROM pg_postmaster_start_time()),
        'in_recovery', pg_is_in_recovery(),
        'here', (SELECT p.counters FROM parts AS p WHERE p.is_here),
        'others', (SELECT p.counters FROM parts AS p WHERE NOT p.is_here),
        'wal', jsonb_build_object(
            'records', w.wal_records, 'bytes', w.wal_bytes, 'full_pages', w.wal_fpi,
            'buffers_full', w.wal_buffers_full,
            'counting_since', extract(epoch FROM w.stats_reset),
            'since', to_char(w.stats_reset, 'YYYY-MM-DD HH24:MI')),
        'lsn', jsonb_build_object('position',
            CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn),
        'checkpoints',
        jsonb_build_object('timed', b.timed, 'requested', b.requested, 'write_ms', b.write_ms,
            'sync_ms', b.sync_ms,
            'buffers', b.buffers, 'counting_since', extract(epoch FROM b.stats_reset),
            'since', to_char(b.stats_reset, 'YYYY-MM-DD HH24:MI')),
        -- The server counts sessions that it ended for idleness like those that failed.
        'ends_idle_sessions', current_setting('idle_session_timeout') <> '0'
            OR EXISTS (SELECT FROM pg_db_role_setting AS c
                CROSS JOIN unnest(c.setconfig) AS o (setting)
                WHERE lower(o.setting) ~ '^idle_session_timeout=[^0]'),
        'subscriptions', (SELECT jsonb_object_agg(t.subid,
            jsonb_build_array(t.apply_error_count, t.sync_error_count))
            FROM pg_stat_subscription_stats AS t),
        'archiver', jsonb_build_object('archived', a.archived_count, 'failed', a.failed_count,
            'counting_since', extract(epoch FROM a.stats_reset))
    )::text AS counters
FROM pg_stat_wal AS w
CROSS JOIN pg_stat_archiver AS a
CROSS JOIN checkpoints AS b
