-- Limits: 5 s (pghero), critical 3600 s (mixin of the PostgreSQL exporter). A connected standby
-- that has replayed all it received has no lag, however old its last transaction is. Where replay
-- waits for a query of this standby, that query is named: the holder of the lock, or the oldest
-- snapshot. The startup process itself is never the one to end.
WITH
waiting AS MATERIALIZED (
    SELECT s.pid, s.wait_event_type, s.wait_event, statement_timestamp() - (
        SELECT l.waitstart FROM pg_locks AS l WHERE l.pid = s.pid AND NOT l.granted LIMIT 1
    ) AS waited
    FROM pg_stat_activity AS s
    WHERE s.backend_type = 'startup' AND (s.wait_event_type = 'Lock'
        OR s.wait_event IN ('RecoveryConflictSnapshot', 'RecoveryConflictTablespace', 'BufferPin'))
),
culprit AS MATERIALIZED (
    SELECT s.pid, k.kind, c.command, w.waited,
        format('replay waits for pid %s (user %s, application %s, database %s, state %s, '
            'transaction since %s)', s.pid, coalesce(s.usename::text, '?'),
            coalesce(nullif(s.application_name, ''), '(none)'), coalesce(s.datname::text, '(none)'),
            coalesce(s.state, '(hidden)'), s.xact_start) AS evidence
    FROM waiting AS w
    JOIN pg_stat_activity AS s ON s.pid <> w.pid
@session_cut@
    WHERE CASE WHEN w.wait_event_type = 'Lock' THEN EXISTS (
            SELECT FROM pg_locks AS a
            JOIN pg_locks AS h ON h.locktype = a.locktype
                AND (h.database, h.relation, h.classid, h.objid, h.transactionid, h.virtualxid)
                    IS NOT DISTINCT FROM
                    (a.database, a.relation, a.classid, a.objid, a.transactionid, a.virtualxid)
            WHERE a.pid = w.pid AND NOT a.granted AND h.granted AND h.pid = s.pid)
        ELSE s.backend_xmin IS NOT NULL AND s.pid <> pg_backend_pid() END
    ORDER BY CASE WHEN w.wait_event_type = 'Lock' THEN 0 ELSE -age(s.backend_xmin) END, s.xact_start
    LIMIT 1
),
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
            -- Since its start the standby has replayed no transaction: its lag is unknown.
            WHEN s.age IS NOT NULL THEN greatest(s.age, interval '0') END AS lag
    FROM standby AS s
),
judged AS (
    SELECT m.*, c.command, c.evidence, c.kind,
        CASE WHEN NOT m.is_standby THEN 'OK'
            WHEN m.lag >= interval '@replay.critical@ s' THEN 'CRITICAL'
            WHEN m.is_paused OR (m.should_stream AND NOT m.is_connected)
                OR coalesce(m.lag, c.waited) >= interval '@replay.warning@ s'
                THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM measured AS m
    LEFT JOIN culprit AS c ON true
)
SELECT
    j.status, NULL::text AS object,
    CASE WHEN NOT j.is_standby THEN 'not a standby'
        ELSE concat_ws(', ', CASE WHEN j.is_paused THEN 'paused' END,
            CASE WHEN NOT j.is_connected THEN 'not connected' END,
            coalesce(date_trunc('milliseconds', j.lag) || ' behind', 'lag unknown'))
    END AS current_value,
    '< @replay.warning@ s' AS threshold,
    CASE WHEN j.is_standby
        THEN format('received %s, replayed %s, last transaction replayed %s ago',
            coalesce(j.received::text, '-'), j.replayed,
        coalesce(date_trunc('milliseconds', j.age)::text, '-')) || coalesce('; ' || j.evidence, '')
    END AS evidence,
    CASE WHEN j.status = 'OK' THEN 'Nothing to do.'
        WHEN j.is_paused THEN 'Replay is paused: reads here return old data until it resumes.'
        WHEN j.should_stream AND NOT j.is_connected
            THEN 'The standby receives nothing: check the primary, the network, the password and '
                'the server log here.'
        WHEN j.kind = 'client'
            THEN 'Reads here return old data until that session ends its statement or transaction: '
                'cut it, unless its work matters more. Never end the startup process.'
        WHEN j.command IS NOT NULL
            THEN 'Reads here return old data: replay waits until that process ends its work.'
        ELSE 'Reads here return old data: check the disk and look for queries that conflict with '
            'replay.'
    END AS recommendation,
    CASE WHEN j.status = 'OK' THEN NULL
        WHEN j.is_paused THEN 'SELECT pg_wal_replay_resume();'
        WHEN j.should_stream AND NOT j.is_connected THEN 'SHOW primary_conninfo;'
        WHEN j.command IS NOT NULL THEN j.command
        ELSE 'SELECT pid, usename, xact_start, state FROM pg_stat_activity WHERE xact_start IS NOT '
            'NULL ORDER BY xact_start LIMIT 5;'
    END AS next_command,
    'now' AS since
FROM judged AS j
