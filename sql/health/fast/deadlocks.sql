-- $1 earlier counters or NULL, $2 when they were taken, $3 counters now
-- Limits: more than 5 a minute is critical (awesome-prometheus-alerts); one in a window is a warning, over a lifetime one a day (ours).
WITH
counted (part, object) AS (VALUES ('here', 'database ' || current_database()), ('others', 'other databases')),
@spans@,
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
