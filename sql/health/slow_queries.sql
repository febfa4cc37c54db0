-- Fallback where pg_stat_statements is absent, not preloaded or forbidden: running statements, and
-- a row that tells how to enable it. Same columns as slow_queries.pg_stat_statements.sql.
WITH
running AS (
    SELECT s.*, extract(epoch FROM clock_timestamp() - s.query_start) * 1000 AS ms
    FROM pg_stat_activity AS s
    WHERE s.state = 'active' AND s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
        AND s.query_start < statement_timestamp() - interval '1 s'
    ORDER BY s.query_start
    LIMIT 20
)
SELECT
    coalesce(r.query_id::text, 'pid ' || r.pid) AS query_hash,
    crewsnow_ops.mask_literals(r.query) AS query_snippet, 1::bigint AS calls,
    round(r.ms, 3) AS total_time_ms,
    round(r.ms, 3) AS avg_time_ms, round(r.ms, 3) AS max_time_ms,
    CASE WHEN r.wait_event_type = 'Lock'
        THEN 'It waits for a lock: SELECT * FROM crewsnow_ops.blocking_tree;'
        ELSE format('It runs now and is not counted yet. To stop it: SELECT pg_cancel_backend(%s);',
            r.pid) END AS optimization_suggestion,
    r.query_id AS queryid, r.datname::text AS database, r.usename::text AS user_names, r.pid,
    NULL::numeric AS share_pct, NULL::numeric AS calls_per_second, NULL::numeric AS stddev_ms,
    NULL::numeric AS stddev_to_mean,
    NULL::numeric AS rows_per_call, NULL::numeric AS cache_hit_pct,
    NULL::numeric AS temp_mb_per_call, NULL::numeric AS wal_bytes_per_call,
    NULL::numeric AS plan_time_pct, NULL::numeric AS io_time_pct,
    'now' AS "window",
    'running' || coalesce(', waits for ' || r.wait_event_type || ':' || r.wait_event, '') AS finding
FROM running AS r
UNION ALL
SELECT '(no statistics)', NULL, 0, 0, 0, 0,
    CASE WHEN NOT f.is_loaded
        THEN 'Preload pg_stat_statements (shared_preload_libraries) with the next restart, then '
            'CREATE EXTENSION pg_stat_statements;'
        WHEN NOT f.is_created THEN 'CREATE EXTENSION pg_stat_statements;'
        ELSE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA %s TO %I;', f.schema, current_user)
            END,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'now',
    CASE WHEN NOT f.is_loaded THEN 'SKIPPED: pg_stat_statements is not loaded'
        WHEN NOT f.is_created
            THEN 'SKIPPED: extension pg_stat_statements is not created in this database'
        ELSE 'SKIPPED: this role may not read pg_stat_statements' END
FROM (
    SELECT EXISTS (SELECT FROM pg_settings AS s WHERE s.name = 'pg_stat_statements.max')
        AS is_loaded,
        EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pg_stat_statements') AS is_created,
        (SELECT e.extnamespace::regnamespace::text FROM pg_extension AS e
            WHERE e.extname = 'pg_stat_statements') AS schema
) AS f
UNION ALL
SELECT '(hidden)', NULL, 0, 0, 0, 0,
    format('Other users'' statements are hidden from this role: GRANT pg_read_all_stats TO %I;',
        current_user),
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    'now', 'SKIPPED'
WHERE NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
ORDER BY total_time_ms DESC
