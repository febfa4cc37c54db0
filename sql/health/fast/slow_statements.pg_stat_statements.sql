-- $1 jsonb: earlier counters or NULL; $2 timestamptz: their time or NULL; $3 jsonb: current
-- counters
-- ("slow" in it: the statements with a mean over 1 s)
-- Limits: 10 statements over 1 s (contract), critical 30 in a window (ours). A statement counts if
-- its mean in the window is over 1 s, or if it has been running for over 1 s.
WITH
running AS (
    SELECT s.query_id AS queryid, s.datid AS dbid
    FROM pg_stat_activity AS s
    WHERE s.state = 'active' AND s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
        AND s.query_start < statement_timestamp() - interval '1 s'
),
slow AS (
    SELECT count(*) AS slow, (SELECT count(*) FROM running) AS running,
        pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all
    FROM (
        SELECT (e.entry ->> 0)::bigint, (e.entry ->> 1)::oid
        FROM jsonb_array_elements($3 -> 'slow' -> 'statements') AS e (entry)
        UNION
        SELECT r.queryid, r.dbid FROM running AS r
    ) AS u
),
judged AS (
    SELECT s.*,
        CASE WHEN NOT s.sees_all OR NOT $3 ? 'slow' THEN 'SKIPPED'
            WHEN s.slow >= 30 AND ($3 -> 'slow' -> 'is_window')::boolean THEN 'CRITICAL'
            WHEN s.slow >= 10 THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM slow AS s
)
SELECT
    j.status, NULL::text AS object,
    CASE WHEN j.status <> 'SKIPPED' THEN format('%s statements', j.slow) END AS current_value,
    '< 10' AS threshold,
    CASE WHEN NOT j.sees_all THEN 'other users'' statements are hidden from this role'
        WHEN j.status = 'SKIPPED'
            THEN coalesce($3 ->> 'statements_failed', 'pg_stat_statements could not be read')
        ELSE format('with a mean over 1 s, or running for over 1 s (%s)', j.running)
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
