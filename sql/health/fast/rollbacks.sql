-- $1 earlier counters or NULL, $2 when they were taken, $3 counters now
-- Limits: 10 % (awesome-prometheus-alerts), critical from 50 % in a window (ours), from 100 transactions on.
WITH
counted (part, object) AS (VALUES ('here', 'database ' || current_database()), ('others', 'other databases')),
@spans@,
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
