-- Limits: 5 s (pghero), critical 3600 s (mixin of the PostgreSQL exporter). A connected standby
-- that has replayed all it received has no lag, however old its last transaction is.
WITH
standby AS (
    SELECT
        pg_is_in_recovery() AS is_standby,
        CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS is_paused,
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() END AS received,
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END AS replayed,
        statement_timestamp() - pg_last_xact_replay_timestamp() AS age,
        EXISTS (SELECT FROM pg_stat_wal_receiver) AS is_connected,
        -- Plain roles cannot read primary_conninfo: it then counts as set.
        CASE WHEN pg_is_in_recovery()
            THEN coalesce((SELECT s.setting FROM pg_settings AS s
                WHERE s.name = 'primary_conninfo'), '(hidden)') <> ''
        END AS should_stream
),
measured AS (
    SELECT s.*,
        CASE WHEN s.is_connected AND s.received <= s.replayed THEN interval '0'
            ELSE greatest(s.age, interval '0') END AS lag
    FROM standby AS s
),
judged AS (
    SELECT m.*,
        CASE WHEN NOT m.is_standby THEN 'OK'
            WHEN m.lag >= interval '3600 s' THEN 'CRITICAL'
            WHEN m.is_paused OR (m.should_stream AND NOT m.is_connected) OR m.lag >= interval '5 s'
                THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM measured AS m
)
SELECT
    j.status, NULL::text AS object,
    CASE WHEN NOT j.is_standby THEN 'not a standby'
        ELSE concat_ws(', ', CASE WHEN j.is_paused THEN 'paused' END,
            CASE WHEN NOT j.is_connected THEN 'not connected' END,
            coalesce(date_trunc('milliseconds', j.lag) || ' behind', 'lag unknown'))
    END AS current_value,
    '< 5 s' AS threshold,
    CASE WHEN j.is_standby
        THEN format('received %s, replayed %s, last transaction replayed %s ago',
            coalesce(j.received::text, '-'), j.replayed,
        coalesce(date_trunc('milliseconds', j.age)::text, '-')) END AS evidence,
    CASE WHEN j.status = 'OK' THEN 'Nothing to do.'
        WHEN j.is_paused THEN 'Replay is paused: reads here return old data until it resumes.'
        WHEN j.should_stream AND NOT j.is_connected
            THEN 'The standby receives nothing: check the primary, the network, the password and '
                'the server log here.'
        ELSE 'Reads here return old data: check the disk and look for queries that conflict with '
            'replay.'
    END AS recommendation,
    CASE WHEN j.status = 'OK' THEN NULL
        WHEN j.is_paused THEN 'SELECT pg_wal_replay_resume();'
        WHEN j.should_stream AND NOT j.is_connected THEN 'SHOW primary_conninfo;'
        ELSE 'SELECT pid, usename, xact_start, state FROM pg_stat_activity WHERE xact_start IS NOT '
            'NULL ORDER BY xact_start LIMIT 5;'
    END AS next_command,
    'now' AS since
FROM judged AS j
