-- All entries as one compact row: arrays of equal length, sorted by database and queryid. Entries
-- of the same queryid and database are summed over users and toplevel. analyze_slow_queries
-- compares with the arrays; "totals" has their sums and dealloc.
WITH
summed AS (
    SELECT s.queryid, s.dbid, sum(s.calls)::bigint AS calls, sum(s.total_exec_time) AS exec_ms
    FROM @pgss@.pg_stat_statements(false) AS s
    WHERE s.queryid IS NOT NULL
    GROUP BY s.queryid, s.dbid
)
SELECT
    array_agg(s.queryid ORDER BY s.dbid, s.queryid) AS queryids,
    array_agg(s.dbid ORDER BY s.dbid, s.queryid) AS dbids,
    array_agg(s.calls ORDER BY s.dbid, s.queryid) AS calls,
    array_agg(round(s.exec_ms::numeric, 3)::float8 ORDER BY s.dbid, s.queryid) AS exec_ms,
    (SELECT jsonb_build_object('calls', coalesce(sum(t.calls), 0),
        'exec_ms', round(coalesce(sum(t.exec_ms), 0)::numeric),
            'entries', count(*)) FROM summed AS t)
        || (SELECT jsonb_build_object('dealloc', i.dealloc,
            'counting_since', extract(epoch FROM i.stats_reset))
            FROM @pgss@.pg_stat_statements_info AS i) AS totals
FROM summed AS s
