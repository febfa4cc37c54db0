-- Limits: 5 s for a physical standby (pghero, awesome-prometheus-alerts), 20 s for a logical one
-- (pgdoctor), 1 GB (ours). Critical: 3600 s (mixin of the PostgreSQL exporter), or fewer
-- synchronous standbys than commits wait for. sync_state is hidden from plain roles; the number of
-- connected standbys is not.
WITH
server AS (
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
        ELSE pg_current_wal_lsn() END AS lsn,
        pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
        NOT pg_is_in_recovery() AS is_primary
),
senders AS (
    SELECT r.*, pg_wal_lsn_diff(h.lsn, r.replay_lsn) AS bytes, t.slot_type = 'logical' AS is_logical
    FROM pg_stat_replication AS r
    CROSS JOIN server AS h
    LEFT JOIN pg_replication_slots AS t ON t.active_pid = r.pid
    WHERE r.state IS DISTINCT FROM 'backup'
),
judged AS (
    SELECT s.*,
        CASE WHEN s.replay_lag >= interval '@replication.critical@ s' THEN 'CRITICAL'
            WHEN s.replay_lag >= CASE WHEN s.is_logical THEN interval '@replication.logical@ s'
                    ELSE interval '@replication.warning@ s' END
                OR s.bytes >= @replication.size@ * 1073741824.0 THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM senders AS s
),
ranked AS (
    SELECT j.*,
        row_number()
            OVER (ORDER BY j.status, j.replay_lag DESC NULLS LAST, j.bytes DESC NULLS LAST) AS rank,
            count(*) OVER () AS total
    FROM judged AS j
    WHERE j.status <> 'OK'
),
missing_sync AS (
    SELECT c.synchronous, n.required,
        CASE WHEN h.sees_all
            THEN (SELECT count(*) FROM pg_stat_activity AS s WHERE s.wait_event = 'SyncRep') END
                AS waiting
    FROM server AS h
    -- FIRST 2 (a, b), ANY 2 (a, b) or 2 (a, b); a plain list of names requires one.
    CROSS JOIN LATERAL (
        SELECT coalesce(substring(current_setting('synchronous_standby_names')
            FROM '^\s*(?:[A-Za-z]+\s*)?(\d+)\s*\(')::integer, 1) AS required
    ) AS n
    CROSS JOIN LATERAL (
        SELECT count(*) AS connected,
            count(*) FILTER (WHERE s.sync_state IN ('sync', 'quorum')) AS synchronous
                FROM senders AS s
    ) AS c
    WHERE h.is_primary AND current_setting('synchronous_standby_names') <> ''
        AND c.synchronous < n.required
        AND (h.sees_all OR c.connected < n.required)
)
SELECT
    'CRITICAL' AS status, 'synchronous_standby_names' AS object,
    format('%s synchronous standbys', o.synchronous) AS current_value,
    '>= ' || o.required AS threshold,
    concat_ws('; ', o.waiting || ' sessions wait for a standby',
        'synchronous_standby_names = ' || current_setting('synchronous_standby_names')) AS evidence,
    'Commits hang until enough of the named standbys connect: bring them back, or require fewer.'
        AS recommendation,
    E'ALTER SYSTEM SET synchronous_standby_names = '''';\nSELECT pg_reload_conf();' AS next_command,
    'now' AS since
FROM missing_sync AS o
UNION ALL
SELECT
    r.status, coalesce(nullif(r.application_name, ''), 'pid ' || r.pid),
    concat_ws(', ', date_trunc('milliseconds', r.replay_lag)::text, pg_size_pretty(r.bytes)),
    CASE WHEN r.is_logical THEN '< @replication.logical@ s, < @replication.size@ GB'
        ELSE '< @replication.warning@ s, < @replication.size@ GB' END,
    format('pid %s, user %s, client %s, %s, %s, write %s, flush %s, replay %s behind', r.pid,
        r.usename, coalesce(r.client_addr::text, 'local'),
            r.state, r.sync_state, coalesce(r.write_lag::text, '-'),
            coalesce(r.flush_lag::text, '-'), coalesce(r.replay_lag::text, '-'))
        || CASE WHEN r.rank = 1 AND r.total > 5 THEN format('; %s more', r.total - 5) ELSE '' END,
    'Reads on the standby return old data, and a failover now loses or waits for this much: check '
    'its network, disk and queries.',
    format('SELECT * FROM pg_stat_replication WHERE pid = %s;', r.pid), 'now'
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT
    CASE WHEN h.sees_all OR n.connected = 0 THEN 'OK' ELSE 'SKIPPED' END, NULL,
    CASE WHEN h.sees_all OR n.connected = 0
        THEN format('%s connected, largest lag %s', n.connected,
            coalesce(pg_size_pretty(n.bytes), '-'))
    END,
    '< @replication.warning@ s, < @replication.size@ GB',
    CASE WHEN NOT h.sees_all AND n.connected > 0 THEN 'the lag is hidden from this role' END,
    CASE WHEN h.sees_all OR n.connected = 0 THEN 'Nothing to do.'
        ELSE 'Grant pg_monitor to this role.' END,
    CASE WHEN NOT h.sees_all AND n.connected > 0
        THEN format('GRANT pg_monitor TO %I;', current_user) END, 'now'
FROM server AS h
CROSS JOIN (SELECT count(*) AS connected, max(s.bytes) AS bytes FROM senders AS s) AS n
WHERE NOT EXISTS (SELECT FROM ranked) AND NOT EXISTS (SELECT FROM missing_sync)
