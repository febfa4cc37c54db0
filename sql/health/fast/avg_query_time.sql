-- $1 jsonb: earlier counters or NULL; $2 timestamptz: their time or NULL; $3 jsonb: current
-- counters
-- Limits: 200 ms (contract), critical 1000 ms in a window (ours), from 5 executions on. The mean is
-- per statement where pg_stat_statements is readable, else per transaction, from the time that
-- sessions were active.
WITH
figures AS (
    SELECT 1 AS preference, 'statement' AS unit, $1 -> 'statements' AS earlier,
        $3 -> 'statements' AS now,
        'calls' AS count_key, 'exec_ms' AS time_key
    WHERE $3 ? 'statements'
    UNION ALL
    SELECT 2, 'transaction', totals.earlier, totals.now, 'transactions', 'active_ms'
    FROM (
        SELECT
            CASE WHEN $1 ? 'here' THEN (
                SELECT jsonb_build_object('active_ms', sum((p ->> 'active_ms')::numeric),
                    'counting_since', min((p ->> 'counting_since')::numeric),
                    'transactions',
                    sum((p ->> 'xact_commit')::numeric + (p ->> 'xact_rollback')::numeric))
                FROM unnest(ARRAY[$1 -> 'here', $1 -> 'others']) AS p)
            END AS earlier,
            (SELECT jsonb_build_object('active_ms', sum((p ->> 'active_ms')::numeric),
                'counting_since', min((p ->> 'counting_since')::numeric),
                'transactions',
                sum((p ->> 'xact_commit')::numeric + (p ->> 'xact_rollback')::numeric))
            FROM unnest(ARRAY[$3 -> 'here', $3 -> 'others']) AS p) AS now
    ) AS totals
),
windows AS (
    SELECT f.*,
        coalesce($2 IS NOT NULL AND f.earlier -> 'counting_since' = f.now -> 'counting_since'
            AND (f.now ->> f.count_key)::numeric > (f.earlier ->> f.count_key)::numeric
            AND (f.now ->> f.time_key)::numeric >= (f.earlier ->> f.time_key)::numeric
            -- Evictions remove counts, so the totals before and after do not compare.
            AND f.earlier -> 'dealloc' IS NOT DISTINCT FROM f.now -> 'dealloc', false) AS is_window
    FROM figures AS f
),
measured AS (
    SELECT w.*,
        (w.now ->> w.count_key)::numeric
            - CASE WHEN w.is_window THEN (w.earlier ->> w.count_key)::numeric ELSE 0 END
                AS executions,
        (w.now ->> w.time_key)::numeric
            - CASE WHEN w.is_window THEN (w.earlier ->> w.time_key)::numeric ELSE 0 END AS ms
    FROM windows AS w
    ORDER BY w.is_window DESC, w.preference
    LIMIT 1
),
judged AS (
    SELECT m.*, m.ms / nullif(m.executions, 0) AS mean,
        CASE WHEN m.executions < 5 THEN 'OK'
            WHEN m.is_window AND m.ms >= @avg_query_time.critical@ * m.executions THEN 'CRITICAL'
            WHEN m.ms >= @avg_query_time.warning@ * m.executions THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM measured AS m
)
SELECT
    j.status, NULL::text AS object,
    coalesce(format('%s ms per %s', round(j.mean, 1), j.unit), format('no %s', j.unit))
        AS current_value,
    '< @avg_query_time.warning@ ms' AS threshold,
    format('%s %ss took %s ms in total', j.executions, j.unit, round(j.ms)) AS evidence,
    CASE WHEN j.status = 'OK' THEN 'Nothing to do.'
        ELSE 'Users wait: find the statements that take the time.' END AS recommendation,
    CASE WHEN j.status <> 'OK' THEN 'SELECT * FROM analyze_slow_queries();' END AS next_command,
    CASE WHEN j.is_window THEN 'since ' || $2
        ELSE 'lifetime since '
            || coalesce(to_char(to_timestamp((j.now ->> 'counting_since')::float8),
                'YYYY-MM-DD HH24:MI'), 'unknown')
    END AS since
FROM judged AS j
