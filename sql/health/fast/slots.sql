-- Limits: inactive for 10 minutes (awesome-prometheus-alerts), "extended" (pgdoctor), 1 GB (ours).
-- Critical: "unreserved" or "lost" (pgdoctor, check_pgactivity), invalidated, or inactive with 10
-- GB (ours). Before PostgreSQL 17 the time of inactivity is unknown: there, an inactive slot that
-- keeps a WAL segment counts.
--
-- An active logical slot keeps WAL for one of two causes. Either its consumer does not confirm:
-- confirmed_flush_lsn stands far behind. Or the consumer has confirmed, and an open transaction
-- keeps restart_lsn: the oldest transaction with an id, in any database.
WITH
@horizon_holders@,
current_wal AS (
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
        AS lsn
),
oldest_transaction AS MATERIALIZED (
    SELECT h.* FROM holders AS h WHERE h.transaction IS NOT NULL
    ORDER BY age(h.transaction) DESC
    LIMIT 1
),
slots AS (
    SELECT s.*, greatest(pg_wal_lsn_diff(h.lsn, s.restart_lsn), 0) AS retained,
        greatest(pg_wal_lsn_diff(h.lsn, s.confirmed_flush_lsn), 0) AS unconfirmed,
        greatest(pg_wal_lsn_diff(h.lsn, w.sent_lsn), 0) AS unsent,
        w.application_name AS consumer, w.client_addr AS consumer_address,
        (to_jsonb(s) ->> 'inactive_since')::timestamptz AS idle_since,
        coalesce(to_jsonb(s) ->> 'invalidation_reason',
            CASE WHEN (to_jsonb(s) ->> 'conflicting')::boolean THEN 'conflict' END) AS invalidated,
        coalesce((to_jsonb(s) ->> 'synced')::boolean, false) AND pg_is_in_recovery() AS is_copy
    FROM pg_replication_slots AS s
    CROSS JOIN current_wal AS h
    LEFT JOIN pg_stat_replication AS w ON w.pid = s.active_pid
),
judged AS (
    SELECT s.*,
        CASE WHEN s.invalidated IS NOT NULL OR s.wal_status IN ('unreserved', 'lost')
            THEN 'CRITICAL'
            WHEN NOT s.active AND NOT s.is_copy AND s.retained >= @slots.critical@ * 1073741824.0
                THEN 'CRITICAL'
            WHEN s.wal_status = 'extended' OR s.retained >= @slots.warning@ * 1073741824.0
                THEN 'WARNING'
            WHEN NOT s.active AND NOT s.is_copy AND s.restart_lsn IS NOT NULL
                AND CASE WHEN s.idle_since IS NOT NULL
                    THEN s.idle_since < statement_timestamp() - interval '@slots.inactive@ minutes'
                    ELSE s.retained >= 16777216 END THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM slots AS s
),
ranked AS (
    SELECT j.*, row_number() OVER (ORDER BY j.status, j.retained DESC NULLS LAST) AS rank,
        count(*) OVER () AS total,
        CASE WHEN j.invalidated IS NOT NULL OR j.wal_status = 'lost' THEN 'lost'
            WHEN NOT j.active THEN 'absent'
            WHEN j.slot_type = 'logical' AND 2 * j.unconfirmed < j.retained AND t.kind IS NOT NULL
                THEN 'transaction'
            WHEN j.slot_type = 'logical' AND 2 * j.unsent < j.unconfirmed THEN 'unconfirmed'
            ELSE 'slow'
        END AS cause,
        concat(t.kind, ' ', t.name, ' (', t.evidence, ')', ' since ' || t.held_since) AS holder,
        t.cure, t.next_command AS holder_command
    FROM judged AS j
    LEFT JOIN oldest_transaction AS t ON true
    WHERE j.status <> 'OK'
)
SELECT
    r.status, 'slot ' || r.slot_name AS object,
    concat_ws(', ', CASE WHEN r.active THEN 'active' ELSE 'inactive' END, r.wal_status,
        pg_size_pretty(r.retained) || ' retained') AS current_value,
    'active, < @slots.warning@ GB' AS threshold,
    concat_ws(', ', r.slot_type || ' slot', 'database ' || r.database, 'pid ' || r.active_pid,
        'consumer ' || r.consumer, 'client ' || r.consumer_address,
        'restart_lsn ' || r.restart_lsn,
        'confirmed_flush_lsn ' || r.confirmed_flush_lsn || ' ('
            || pg_size_pretty(r.unconfirmed) || ' behind)',
        CASE WHEN r.cause = 'transaction' THEN 'kept by ' || r.holder END,
        'inactive since ' || r.idle_since,
        'invalidated: ' || r.invalidated,
        CASE WHEN r.safe_wal_size IS NULL
            THEN 'no limit (max_slot_wal_keep_size ' || current_setting('max_slot_wal_keep_size')
                || ')'
            ELSE pg_size_pretty(r.safe_wal_size) || ' left before the slot is lost' END,
        CASE WHEN r.rank = 1 AND r.total > 5 THEN format('%s more slots', r.total - 5) END)
            AS evidence,
    CASE r.cause
        WHEN 'lost'
            THEN 'The consumer cannot continue: drop the slot, then rebuild the consumer.'
        WHEN 'transaction'
            THEN 'The consumer has confirmed, but an open transaction keeps WAL that may have to '
                'be decoded again. ' || r.cure
        WHEN 'unconfirmed'
            THEN 'The consumer receives WAL and does not confirm it, so it fills the disk: let the '
                'consumer confirm, also while its tables are idle.'
        WHEN 'slow' THEN 'The consumer lags, and its WAL fills the disk: check the consumer.'
        ELSE 'WAL for an absent consumer fills the disk and stops the server: bring the consumer '
            'back. Dropping the slot loses its position for good: the consumer must be rebuilt.'
    END AS recommendation,
    CASE WHEN r.cause = 'transaction' THEN r.holder_command
        WHEN r.active THEN format('SELECT * FROM pg_stat_replication WHERE pid = %s;', r.active_pid)
        WHEN r.cause = 'absent' AND r.status <> 'CRITICAL'
            THEN format('SELECT * FROM pg_replication_slots WHERE slot_name = %L;', r.slot_name)
        ELSE format('SELECT pg_drop_replication_slot(%L);', r.slot_name)
    END AS next_command,
    'now' AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL,
    format('%s slots, most retained %s', count(*), coalesce(pg_size_pretty(max(j.retained)), '-')),
    'active, < @slots.warning@ GB', NULL,
    'Nothing to do.', NULL, 'now'
FROM judged AS j
HAVING NOT EXISTS (SELECT FROM ranked)
