-- $1 bigint[], $2 oid[], $3 bigint[], $4 float8[], $5 timestamptz: queryids, dbids, calls and
-- exec_ms of an earlier statement sample, and its time; all NULL without a sample
-- One read of pg_stat_statements for all fast checks: totals, and the statements with a mean over 1
-- s. The mean is of the time since the sample, else of the lifetime. Entries are summed over users
-- and toplevel. No row for a role that sees only its own statements: they would pass for those of
-- the server.
WITH
info AS MATERIALIZED (
    SELECT i.dealloc, i.stats_reset, coalesce($5 > i.stats_reset, false) AS is_window
    FROM @pgss@.pg_stat_statements_info AS i
),
entries AS MATERIALIZED (
    SELECT s.queryid, s.dbid, sum(s.calls)::bigint AS calls, sum(s.total_exec_time) AS exec_ms
    FROM @pgss@.pg_stat_statements(false) AS s
    WHERE s.queryid IS NOT NULL
    GROUP BY s.queryid, s.dbid
),
slow AS (
    SELECT d.queryid, d.dbid
    FROM (
        -- Fewer calls than in the sample: the entry was evicted and started anew.
        SELECT n.queryid, n.dbid,
            n.calls - CASE WHEN e.calls <= n.calls THEN e.calls ELSE 0 END AS calls,
            n.exec_ms - CASE WHEN e.calls <= n.calls THEN e.exec_ms ELSE 0 END AS exec_ms
        FROM entries AS n
        LEFT JOIN (SELECT e.* FROM unnest($1, $2, $3, $4) AS e (queryid, dbid, calls, exec_ms)
            WHERE (SELECT i.is_window FROM info AS i)) AS e
            ON e.queryid = n.queryid AND e.dbid = n.dbid
    ) AS d
    WHERE d.calls > 0 AND d.exec_ms > 1000 * d.calls
),
totals AS (
    SELECT coalesce(sum(n.calls), 0) AS calls,
        round(coalesce(sum(n.exec_ms), 0)::numeric) AS exec_ms, count(*) AS entries
    FROM entries AS n
)
SELECT jsonb_build_object(
    'statements',
    jsonb_build_object('calls', t.calls, 'exec_ms', t.exec_ms, 'entries', t.entries,
        'dealloc', i.dealloc,
        'counting_since', extract(epoch FROM i.stats_reset)),
    'slow', jsonb_build_object('is_window', i.is_window,
        'since', CASE WHEN i.is_window THEN 'since ' || $5
            ELSE 'lifetime since ' || to_char(i.stats_reset, 'YYYY-MM-DD HH24:MI') END,
        'statements',
        (SELECT coalesce(jsonb_agg(jsonb_build_array(s.queryid, s.dbid)), '[]')
            FROM slow AS s)))::text
FROM info AS i
CROSS JOIN totals AS t
WHERE pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
