-- What sample_statements sums up, without its entries. NULL for who sees only its own: these would pass for the server's.
SELECT CASE WHEN pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') THEN jsonb_build_object(
        'calls', coalesce(sum(s.calls), 0), 'exec_ms', round(coalesce(sum(s.total_exec_time), 0)::numeric),
        'entries', count(DISTINCT (s.queryid, s.dbid)), 'dealloc', min(i.dealloc), 'counting_since', min(extract(epoch FROM i.stats_reset))) END
FROM @pgss@.pg_stat_statements_info AS i
LEFT JOIN @pgss@.pg_stat_statements(false) AS s ON s.queryid IS NOT NULL
