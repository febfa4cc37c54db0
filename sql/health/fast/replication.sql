-- Limits: 5 s for a standby (pghero, awesome-prometheus-alerts), 20 s for a logical one (pgdoctor), 1 GB (ours); critical from 3600 s (the exporter's
-- mixin), and when commits wait for synchronous standbys that are not there. Who is synchronous is hidden from plain roles, but not whether anybody
-- is connected.
WITH
here AS (
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END AS lsn,
        pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all, NOT pg_is_in_recovery() AS is_primary
),
senders AS (
    SELECT r.*, pg_wal_lsn_diff(h.lsn, r.replay_lsn) AS bytes, t.slot_type = 'logical' AS is_logical
    FROM pg_stat_replication AS r
    CROSS JOIN here AS h
    LEFT JOIN pg_replication_slots AS t ON t.active_pid = r.pid
    WHERE r.state IS DISTINCT FROM 'backup'
),
judged AS (
    SELECT s.*,
        CASE WHEN s.replay_lag >= interval '3600 s' THEN 'CRITICAL'
            WHEN s.replay_lag >= CASE WHEN s.is_logical THEN interval '20 s' ELSE interval '5 s' END OR s.bytes >= 1073741824 THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM senders AS s
),
ranked AS (
    SELECT j.*, row_number() OVER (ORDER BY j.status, j.replay_lag DESC NULLS LAST, j.bytes DESC NULLS LAST) AS place, count(*) OVER () AS found
    FROM judged AS j
    WHERE j.status <> 'OK'
),
orphaned AS (
    SELECT c.synchronous, n.needed,
        CASE WHEN h.sees_all THEN (SELECT count(*) FROM pg_stat_activity AS s WHERE s.wait_event = 'SyncRep') END AS waiting
    FROM here AS h
    -- FIRST 2 (a, b), ANY 2 (a, b), 2 (a, b); a list of names alone needs one of them.
    CROSS JOIN LATERAL (
        SELECT coalesce(substring(current_setting('synchronous_standby_names') FROM '^\s*(?:[A-Za-z]+\s*)?(\d+)\s*\(')::integer, 1) AS needed
    ) AS n
    CROSS JOIN LATERAL (
        SELECT count(*) AS connected, count(*) FILTER (WHERE s.sync_state IN ('sync', 'quorum')) AS synchronous FROM senders AS s
    ) AS c
    WHERE h.is_primary AND current_setting('synchronous_standby_names') <> '' AND c.synchronous < n.needed
        AND (h.sees_all OR c.connected < n.needed)
)
SELECT
    'CRITICAL' AS status, 'synchronous_standby_names' AS object, format('%s synchronous standbys', o.synchronous) AS current_value, '>= ' || o.needed AS threshold,
    concat_ws('; ', o.waiting || ' sessions wait for one', 'synchronous_standby_names = ' || current_setting('synchronous_standby_names')) AS evidence,
    'Every commit hangs until enough of the named standbys are back: bring them back, or do with fewer.' AS recommendation,
    E'ALTER SYSTEM SET synchronous_standby_names = '''';\nSELECT pg_reload_conf();' AS next_command,
    'now' AS since
FROM orphaned AS o
UNION ALL
SELECT
    r.status, coalesce(nullif(r.application_name, ''), 'pid ' || r.pid),
    concat_ws(', ', date_trunc('milliseconds', r.replay_lag)::text, pg_size_pretty(r.bytes)),
    CASE WHEN r.is_logical THEN '< 20 s, < 1 GB' ELSE '< 5 s, < 1 GB' END,
    format('pid %s, user %s, client %s, %s, %s, write %s, flush %s, replay %s behind', r.pid, r.usename, coalesce(r.client_addr::text, 'local'),
            r.state, r.sync_state, coalesce(r.write_lag::text, '-'), coalesce(r.flush_lag::text, '-'), coalesce(r.replay_lag::text, '-'))
        || CASE WHEN r.place = 1 AND r.found > 5 THEN format('; %s more', r.found - 5) ELSE '' END,
    'Reads there are old, and a failover now loses or waits for this much: look at its network, disk and conflicting queries.',
    format('SELECT * FROM pg_stat_replication WHERE pid = %s;', r.pid), 'now'
FROM ranked AS r
WHERE r.place <= 5
UNION ALL
SELECT
    CASE WHEN h.sees_all OR n.connected = 0 THEN 'OK' ELSE 'SKIPPED' END, NULL,
    CASE WHEN h.sees_all OR n.connected = 0
        THEN format('%s connected, most behind %s', n.connected, coalesce(pg_size_pretty(n.bytes), '-'))
    END,
    '< 5 s, < 1 GB', CASE WHEN NOT h.sees_all AND n.connected > 0 THEN 'the lag is hidden from this role' END,
    CASE WHEN h.sees_all OR n.connected = 0 THEN 'Nothing to do.' ELSE 'Let this role see it.' END,
    CASE WHEN NOT h.sees_all AND n.connected > 0 THEN format('GRANT pg_monitor TO %I;', current_user) END, 'now'
FROM here AS h
CROSS JOIN (SELECT count(*) AS connected, max(s.bytes) AS bytes FROM senders AS s) AS n
WHERE NOT EXISTS (SELECT FROM ranked) AND NOT EXISTS (SELECT FROM orphaned)
