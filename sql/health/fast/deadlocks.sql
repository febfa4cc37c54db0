-- $1 earlier counters or NULL, $2 when they were taken, $3 counters now
-- Limits: more than 5 a minute is critical (awesome-prometheus-alerts); one in a window is a warning, over a lifetime one a day (ours).
WITH
parts AS (
    SELECT p.part, p.object, $3 -> p.part AS now, CASE WHEN w.comparable THEN $1 -> p.part END AS earlier,
        CASE WHEN w.comparable THEN greatest(extract(epoch FROM ($3 ->> 'at')::timestamptz - $2), 0.001)
            ELSE greatest(extract(epoch FROM ($3 ->> 'at')::timestamptz) - ($3 -> p.part ->> 'counting_since')::numeric, 0.001)
        END AS seconds,
        w.comparable AS is_window
    FROM (VALUES ('here', 'database ' || current_database()), ('others', 'other databases')) AS p (part, object)
    -- Counters of different lives do not compare: after a reset or a crash the figure is of the life since then.
    CROSS JOIN LATERAL (
        SELECT $2 IS NOT NULL AND $1 ? p.part AND $1 -> p.part -> 'counting_since' = $3 -> p.part -> 'counting_since'
            AND NOT EXISTS (
                SELECT FROM jsonb_each_text($1 -> p.part) AS e WHERE ($3 -> p.part ->> e.key)::numeric < e.value::numeric
            ) AS comparable
    ) AS w
),
spans AS (
    SELECT p.*,
        CASE WHEN NOT p.is_window THEN
                'lifetime since ' || coalesce(to_char(to_timestamp((p.now ->> 'counting_since')::float8), 'YYYY-MM-DD HH24:MI'), 'unknown')
            WHEN p.seconds < 120 THEN format('last %s s', round(p.seconds))
            ELSE format('last %s min', round(p.seconds / 60))
        END AS since
    FROM parts AS p
    WHERE p.now IS NOT NULL
),
figures AS (
    SELECT s.*, ((s.now ->> 'deadlocks')::numeric - coalesce((s.earlier ->> 'deadlocks')::numeric, 0)) AS deadlocks FROM spans AS s
),
judged AS (
    SELECT f.*,
        CASE WHEN f.is_window AND f.deadlocks > 5 * greatest(f.seconds / 60, 1) THEN 'CRITICAL'
            WHEN (f.is_window AND f.deadlocks >= 1) OR f.deadlocks > greatest(f.seconds / 86400, 0.99) THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM figures AS f
)
SELECT
    j.status, j.object, j.deadlocks::text AS current_value, '0; <= 5 a minute' AS threshold,
    format('%s deadlocks, each ended a transaction with an error', j.deadlocks) AS evidence,
    CASE WHEN j.status = 'OK' THEN 'Nothing to do.'
        ELSE 'Users got errors: the server''s log names the statements; let the program lock rows in one order, and retry on 40P01.'
    END AS recommendation,
    CASE WHEN j.status <> 'OK'
        THEN 'SELECT datname, deadlocks, stats_reset FROM pg_stat_database ORDER BY deadlocks DESC LIMIT 5;' END AS next_command,
    j.since
FROM judged AS j
WHERE j.part = 'here' OR j.status <> 'OK'
