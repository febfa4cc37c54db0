-- $1 jsonb: earlier counters or NULL; $2 timestamptz: their time or NULL; $3 jsonb: current
-- counters
-- ("slow" in it: the statements with a mean over 1 s)
-- Limits: 10 (contract), critical 30 in a window (ours). Each session counts that has run its
-- statement for over 1 s: 45 sessions with one statement are 45. A statement that no such session
-- runs counts once if its mean in the window is over 1 s.
WITH
running AS (
    SELECT s.query_id AS queryid, s.datid AS dbid, s.application_name, s.query
    FROM pg_stat_activity AS s
    WHERE s.state = 'active' AND s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
        AND s.query_start < statement_timestamp() - interval '1 s'
),
slow AS (
    SELECT count(*) + (SELECT count(*) FROM running) AS slow,
        (SELECT count(*) FROM running) AS running,
        pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all
    FROM (
        SELECT (e.entry ->> 0)::bigint AS queryid, (e.entry ->> 1)::oid AS dbid
        FROM jsonb_array_elements($3 -> 'slow' -> 'statements') AS e (entry)
    ) AS u
    WHERE NOT EXISTS (SELECT FROM running AS r WHERE r.queryid = u.queryid AND r.dbid = u.dbid)
),
judged AS (
    SELECT s.*,
        CASE WHEN NOT s.sees_all OR NOT $3 ? 'slow' THEN 'SKIPPED'
            WHEN s.running >= @slow_queries.critical@
                OR (s.slow >= @slow_queries.critical@ AND ($3 -> 'slow' -> 'is_window')::boolean)
                THEN 'CRITICAL'
            WHEN s.slow >= @slow_queries.warning@ THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM slow AS s
)
SELECT
    j.status, NULL::text AS object,
    CASE WHEN j.status <> 'SKIPPED'
        THEN format('%s sessions, %s statements', j.running, j.slow - j.running) END
            AS current_value,
    '< @slow_queries.warning@' AS threshold,
    CASE WHEN NOT j.sees_all THEN 'other users'' statements are hidden from this role'
        WHEN j.status = 'SKIPPED'
            THEN coalesce($3 ->> 'statements_failed', 'pg_stat_statements could not be read')
        ELSE 'sessions that run a statement for over 1 s; other statements with a mean over 1 s'
            || coalesce((
                SELECT format('; most, %s, from application %s', count(*),
                    coalesce(nullif(r.application_name, ''), '(none)'))
                FROM running AS r
                GROUP BY r.application_name ORDER BY count(*) DESC, 1 LIMIT 1), '')
            || CASE WHEN j.status = 'OK' THEN '' ELSE coalesce((
                SELECT E'\nquery: ' || left(min(r.query), 300) FROM running AS r
                GROUP BY r.queryid, r.dbid ORDER BY count(*) DESC LIMIT 1), '') END
    END AS evidence,
    CASE WHEN NOT j.sees_all THEN 'Grant pg_monitor to this role.'
        WHEN j.status = 'SKIPPED' THEN 'pg_stat_statements failed: the evidence has its error.'
        WHEN j.status = 'OK' THEN 'Nothing to do.'
        ELSE 'Users wait: find the slow statements.' END AS recommendation,
    CASE WHEN NOT j.sees_all THEN format('GRANT pg_monitor TO %I;', current_user)
        WHEN j.status IN ('WARNING', 'CRITICAL')
            THEN 'SELECT * FROM analyze_slow_queries() WHERE avg_time_ms > 1000;' END
                AS next_command,
    coalesce($3 -> 'slow' ->> 'since', 'now') AS since
FROM judged AS j
