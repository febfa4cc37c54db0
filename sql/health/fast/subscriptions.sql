-- $1 jsonb: earlier counters or NULL; $2 timestamptz: their time or NULL; $3 jsonb: current
-- counters ("subscriptions" in it: apply and sync errors of each subscription by its oid)
-- Limits: a subscription whose worker fails again and again is critical (ours). The worker starts
-- anew every few seconds, so mostly no process is there: an enabled subscription without a worker,
-- or with a young one, has failed if errors are counted. Without errors it cannot reach its
-- publisher. A young worker after a restart of the server is no fault.
WITH
subscriptions AS (
    SELECT s.oid, s.subname, d.datname, s.subenabled, s.subdisableonerr, w.pid,
        coalesce(t.apply_error_count, 0) AS apply_errors,
        coalesce(t.sync_error_count, 0) AS sync_errors,
        coalesce(t.apply_error_count - ($1 -> 'subscriptions' -> s.oid::text ->> 0)::bigint, 0) > 0
            AS apply_fails,
        statement_timestamp() - a.backend_start AS age,
        pg_postmaster_start_time() > statement_timestamp() - interval '1 minute' AS has_restarted,
        (SELECT count(*) FROM pg_subscription_rel AS r
            WHERE r.srsubid = s.oid AND r.srsubstate IN ('i', 'd')) AS uncopied
    FROM pg_subscription AS s
    JOIN pg_database AS d ON d.oid = s.subdbid
    -- Parallel workers of one subscription have rows of their own.
    LEFT JOIN (SELECT v.subid, min(v.pid) AS pid FROM pg_stat_subscription AS v
        WHERE v.relid IS NULL GROUP BY v.subid) AS w ON w.subid = s.oid
    LEFT JOIN pg_stat_activity AS a ON a.pid = w.pid
    LEFT JOIN pg_stat_subscription_stats AS t ON t.subid = s.oid
),
judged AS (
    SELECT s.*,
        -- A worker that has run for a while has got over its errors.
        CASE WHEN s.subenabled AND s.apply_errors > 0 AND NOT s.has_restarted
                AND (s.pid IS NULL OR s.age < CASE WHEN s.apply_fails THEN interval '1 minute'
                    ELSE interval '15 s' END)
                THEN 'apply'
            WHEN s.subenabled AND s.uncopied > 0 AND s.sync_errors > 0 THEN 'copy'
            WHEN s.subenabled AND s.pid IS NULL AND NOT s.has_restarted THEN 'connect'
            WHEN NOT s.subenabled AND s.subdisableonerr AND s.apply_errors + s.sync_errors > 0
                THEN 'disabled'
        END AS fault
    FROM subscriptions AS s
),
ranked AS (
    SELECT j.*, row_number() OVER (ORDER BY j.fault <> 'apply', j.subname) AS rank,
        count(*) OVER () AS total
    FROM judged AS j
    WHERE j.fault IS NOT NULL
)
SELECT
    CASE r.fault WHEN 'apply' THEN 'CRITICAL' ELSE 'WARNING' END AS status,
    'subscription ' || r.subname AS object,
    CASE r.fault WHEN 'connect' THEN 'no worker'
        ELSE format('%s apply errors, %s copy errors', r.apply_errors, r.sync_errors) END
            AS current_value,
    'a worker, no errors' AS threshold,
    format('database %s; %s; %s tables not copied yet', r.datname,
        CASE WHEN NOT r.subenabled THEN 'disabled' WHEN r.pid IS NULL THEN 'no worker now'
            ELSE format('worker %s runs for %s', r.pid, date_trunc('second', r.age)) END,
        r.uncopied)
        || CASE WHEN r.rank = 1 AND r.total > 5 THEN format('; %s more', r.total - 5) ELSE '' END
            AS evidence,
    CASE r.fault
        WHEN 'apply' THEN 'The worker fails at one change again and again: data here grow old and '
            'the publisher keeps WAL. The server log names the row and the LSN: correct the row '
            'here, or skip that transaction with ALTER SUBSCRIPTION … SKIP.'
        WHEN 'copy' THEN 'The first copy of a table fails again and again: the server log has the '
            'error.'
        WHEN 'disabled' THEN 'An error disabled the subscription, and the publisher keeps WAL: the '
            'server log has the error; correct it, then enable the subscription.'
        ELSE 'No worker runs: the publisher cannot be reached, or max_logical_replication_workers '
            'is used up. The server log tells which.'
    END AS recommendation,
    format('SELECT subname, apply_error_count, sync_error_count '
        'FROM pg_catalog.pg_stat_subscription_stats WHERE subname = %L;', r.subname)
        AS next_command,
    CASE WHEN r.apply_fails THEN 'since ' || $2 ELSE 'now' END AS since
FROM ranked AS r
WHERE r.rank <= 5
UNION ALL
SELECT 'OK', NULL, format('%s subscriptions', (SELECT count(*) FROM judged)), 'a worker, no errors',
    format('%s disabled', (SELECT count(*) FROM judged AS j WHERE NOT j.subenabled)),
    'Nothing to do.', NULL, 'now'
WHERE NOT EXISTS (SELECT FROM ranked)
