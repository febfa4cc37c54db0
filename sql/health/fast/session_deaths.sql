-- $1 earlier counters or NULL, $2 when they were taken, $3 counters now
-- Limits: 1 %, 5 % of the sessions begun (pgdoctor), from 10 deaths on; critical in a window only.
WITH
counted (part, object) AS (VALUES ('here', 'database ' || current_database()), ('others', 'other databases')),
@spans@,
figures AS (
    SELECT s.*, ((s.now ->> 'sessions')::numeric - coalesce((s.earlier ->> 'sessions')::numeric, 0)) AS sessions,
        ((s.now ->> 'sessions_abandoned')::numeric - coalesce((s.earlier ->> 'sessions_abandoned')::numeric, 0)) AS abandoned,
        ((s.now ->> 'sessions_fatal')::numeric - coalesce((s.earlier ->> 'sessions_fatal')::numeric, 0)) AS fatal,
        ((s.now ->> 'sessions_killed')::numeric - coalesce((s.earlier ->> 'sessions_killed')::numeric, 0)) AS killed
    FROM spans AS s
),
judged AS (
    SELECT f.*, f.abandoned + f.fatal + f.killed AS deaths,
        CASE WHEN f.abandoned + f.fatal + f.killed < 10 THEN 'OK'
            WHEN f.is_window AND f.abandoned + f.fatal + f.killed > 0.05 * f.sessions THEN 'CRITICAL'
            WHEN f.abandoned + f.fatal + f.killed > 0.01 * f.sessions THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM figures AS f
)
SELECT
    j.status, j.object, format('%s of %s sessions', j.deaths, j.sessions) AS current_value, '<= 1 %' AS threshold,
    format('%s lost their client, %s ended by a fatal error, %s by an operator', j.abandoned, j.fatal, j.killed) AS evidence,
    CASE WHEN j.status = 'OK' THEN 'Nothing to do.'
        WHEN j.abandoned > j.fatal + j.killed THEN 'Clients vanish without goodbye: look for crashes, network breaks and time-outs on their side.'
        ELSE 'Sessions are cut off: the server''s log has the reasons.'
    END AS recommendation,
    CASE WHEN j.status <> 'OK' THEN
        'SELECT datname, sessions, sessions_abandoned, sessions_fatal, sessions_killed FROM pg_stat_database ORDER BY sessions DESC LIMIT 5;'
    END AS next_command,
    j.since
FROM judged AS j
WHERE j.part = 'here' OR j.status <> 'OK'
