-- $1 earlier counters or NULL, $2 when they were taken, $3 counters now
-- Limits: 10 % (awesome-prometheus-alerts), critical from 50 % in a window (ours), from 100 transactions on.
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
    SELECT s.*, ((s.now ->> 'xact_rollback')::numeric - coalesce((s.earlier ->> 'xact_rollback')::numeric, 0)) AS rolled_back,
        ((s.now ->> 'xact_commit')::numeric - coalesce((s.earlier ->> 'xact_commit')::numeric, 0)) AS committed
    FROM spans AS s
),
judged AS (
    SELECT f.*, round(100 * f.rolled_back / nullif(f.rolled_back + f.committed, 0), 1) AS percent,
        CASE WHEN f.rolled_back + f.committed < 100 THEN 'OK'
            WHEN f.is_window AND f.rolled_back >= 0.5 * (f.rolled_back + f.committed) THEN 'CRITICAL'
            WHEN f.rolled_back > 0.1 * (f.rolled_back + f.committed) THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM figures AS f
)
SELECT
    j.status, j.object, coalesce(j.percent || ' %', 'no transactions') AS current_value, '<= 10 %' AS threshold,
    format('%s rolled back, %s committed', j.rolled_back, j.committed) AS evidence,
    CASE WHEN j.status = 'OK' THEN 'Nothing to do.'
        ELSE 'Much of what users do fails: the server''s log and the application''s have the errors.'
    END AS recommendation,
    CASE WHEN j.status <> 'OK' THEN
        'SELECT datname, xact_rollback, xact_commit, deadlocks, conflicts FROM pg_stat_database ORDER BY xact_rollback DESC LIMIT 5;'
    END AS next_command,
    j.since
FROM judged AS j
WHERE j.part = 'here' OR j.status <> 'OK'
