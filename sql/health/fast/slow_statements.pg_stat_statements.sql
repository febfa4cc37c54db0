-- $1 bigint[], $2 oid[], $3 bigint[], $4 float8[], $5 timestamptz: queryids, dbids, calls, exec_ms of an earlier statement sample and its
-- time, or NULLs
-- Limits: 10 statements over 1 s (the contract); critical from 30 in a window (ours). A statement counts when its mean in the window was over 1 s,
-- and when it has run for over 1 s now.
WITH
entries AS (
    SELECT s.queryid, s.dbid, sum(s.calls)::bigint AS calls, sum(s.total_exec_time) AS exec_ms
    FROM @pgss@.pg_stat_statements(false) AS s
    WHERE s.queryid IS NOT NULL
    GROUP BY s.queryid, s.dbid
),
reset AS (
    SELECT coalesce($5 > i.stats_reset, false) AS is_window, i.stats_reset FROM @pgss@.pg_stat_statements_info AS i
),
earlier AS (
    SELECT * FROM unnest($1, $2, $3, $4) AS e (queryid, dbid, calls, exec_ms) WHERE (SELECT r.is_window FROM reset AS r)
),
deltas AS (
    SELECT n.queryid, n.dbid,
        n.calls - CASE WHEN e.calls <= n.calls THEN e.calls ELSE 0 END AS calls,
        n.exec_ms - CASE WHEN e.calls <= n.calls THEN e.exec_ms ELSE 0 END AS exec_ms
    FROM entries AS n
    LEFT JOIN earlier AS e ON e.queryid = n.queryid AND e.dbid = n.dbid
),
running AS (
    SELECT s.query_id AS queryid, s.datid AS dbid
    FROM pg_stat_activity AS s
    WHERE s.state = 'active' AND s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
        AND s.query_start < statement_timestamp() - interval '1 s'
),
slow AS (
    SELECT count(*) AS slow, (SELECT count(*) FROM running) AS running, pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all
    FROM (
        SELECT d.queryid, d.dbid FROM deltas AS d WHERE d.calls > 0 AND d.exec_ms > 1000 * d.calls
        UNION
        SELECT r.queryid, r.dbid FROM running AS r
    ) AS u
),
judged AS (
    SELECT s.*, r.is_window, r.stats_reset,
        CASE WHEN NOT s.sees_all THEN 'SKIPPED' WHEN s.slow >= 30 AND r.is_window THEN 'CRITICAL' WHEN s.slow >= 10 THEN 'WARNING'
            ELSE 'OK' END AS status
    FROM slow AS s
    CROSS JOIN reset AS r
)
SELECT
    j.status, NULL::text AS object, CASE WHEN j.sees_all THEN format('%s statements', j.slow) END AS current_value, '< 10' AS threshold,
    CASE WHEN j.sees_all THEN format('with a mean over 1 s, or running for longer than that now (%s)', j.running)
        ELSE 'other users'' statements are hidden from this role' END AS evidence,
    CASE j.status WHEN 'SKIPPED' THEN 'Let this role see what others run.' WHEN 'OK' THEN 'Nothing to do.'
        ELSE 'Users wait: see which statements these are.' END AS recommendation,
    CASE WHEN j.status = 'SKIPPED' THEN format('GRANT pg_monitor TO %I;', current_user)
        WHEN j.status <> 'OK' THEN 'SELECT * FROM analyze_slow_queries() WHERE avg_time_ms > 1000;' END AS next_command,
    CASE WHEN j.is_window THEN 'since ' || $5 ELSE 'lifetime since ' || to_char(j.stats_reset, 'YYYY-MM-DD HH24:MI') END AS since
FROM judged AS j
