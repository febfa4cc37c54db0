-- $1 bigint[], $2 oid[], $3 bigint[], $4 float8[], $5 timestamptz: queryids, dbids, calls and
-- exec_ms of an earlier statement sample, and its time; all NULL without a sample
-- Statements are ranked on the window since the sample, else on their lifetime, and summed over
-- users and toplevel. Texts are read for the top entries only. The rules follow pgFirstAid, pghero
-- and pg-extras. Running statements are not counted yet: they have rows of their own.
WITH
reset AS (
    SELECT coalesce($5 > i.stats_reset, false) AS is_window, i.stats_reset, i.dealloc
    FROM @pgss@.pg_stat_statements_info AS i
),
entries AS (
    SELECT s.queryid, s.dbid, sum(s.calls)::bigint AS calls, sum(s.total_exec_time) AS exec_ms
    FROM @pgss@.pg_stat_statements(false) AS s
    WHERE s.queryid IS NOT NULL
    GROUP BY s.queryid, s.dbid
),
earlier AS (
    SELECT * FROM unnest($1, $2, $3, $4) AS e (queryid, dbid, calls, exec_ms)
    WHERE (SELECT r.is_window FROM reset AS r)
),
deltas AS (
    -- Fewer calls than in the sample: the entry was evicted and started anew.
    SELECT n.queryid, n.dbid, e.queryid IS NULL AND (SELECT r.is_window FROM reset AS r) AS is_new,
        n.calls - CASE WHEN e.calls <= n.calls THEN e.calls ELSE 0 END AS calls,
        greatest(n.exec_ms - CASE WHEN e.calls <= n.calls THEN e.exec_ms ELSE 0 END, 0) AS exec_ms,
        CASE WHEN e.calls <= n.calls AND e.calls > 0 THEN e.exec_ms / e.calls END AS earlier_mean
    FROM entries AS n
    LEFT JOIN earlier AS e ON e.queryid = n.queryid AND e.dbid = n.dbid
),
ranked AS (
    SELECT d.*, sum(d.exec_ms) OVER () AS all_ms,
        row_number() OVER (ORDER BY d.exec_ms DESC) AS by_total,
        row_number() OVER (ORDER BY d.exec_ms / d.calls DESC) AS by_mean
    FROM deltas AS d
    WHERE d.calls > 0
),
top AS MATERIALIZED (
    SELECT r.* FROM ranked AS r
    WHERE r.by_total <= 20 OR (r.by_mean <= 20 AND r.exec_ms > 1000 * r.calls)
),
details AS (
    SELECT t.queryid, t.dbid, min(s.query) AS query,
        string_agg(DISTINCT pg_get_userbyid(s.userid)::text, ', ') AS users,
        bool_or(s.toplevel) AS toplevel,
        max(s.max_exec_time) AS max_ms,
        sum(s.calls) AS all_calls,
        sum(s.total_exec_time) / sum(s.calls) AS mean_ms,
        -- Over several entries: sqrt(mean of squares - square of the mean).
        sqrt(greatest(sum(s.calls * (s.stddev_exec_time ^ 2 + s.mean_exec_time ^ 2)) / sum(s.calls)
            - (sum(s.total_exec_time) / sum(s.calls)) ^ 2, 0)) AS stddev_ms,
        sum(s.rows) AS all_rows,
        sum(s.shared_blks_hit) AS hit, sum(s.shared_blks_read) AS read,
        sum(s.temp_blks_written) AS temp_blocks,
        sum(s.wal_bytes) AS wal_bytes,
        sum(s.total_plan_time) AS plan_ms, sum(s.total_exec_time) AS exec_ms,
        sum(coalesce(s.j ->> 'shared_blk_read_time', s.j ->> 'blk_read_time')::float8
            + coalesce(s.j ->> 'shared_blk_write_time', s.j ->> 'blk_write_time')::float8) AS io_ms,
        sum((s.j ->> 'jit_generation_time')::float8 + (s.j ->> 'jit_inlining_time')::float8
            + (s.j ->> 'jit_optimization_time')::float8
            + (s.j ->> 'jit_emission_time')::float8) AS jit_ms
    FROM top AS t
    JOIN (SELECT x.*, to_jsonb(x) - 'query' AS j FROM @pgss@.pg_stat_statements(true) AS x) AS s
        ON s.queryid = t.queryid AND s.dbid = t.dbid
    GROUP BY t.queryid, t.dbid
),
figures AS (
    SELECT d.*, t.calls, t.exec_ms AS window_ms, t.is_new, t.earlier_mean,
        t.exec_ms / t.calls AS window_mean,
        100 * t.exec_ms / nullif(t.all_ms, 0) AS share,
        d.all_rows::numeric / d.all_calls AS rows_per_call,
        100.0 * d.hit / nullif(d.hit + d.read, 0) AS hit_pct,
        d.temp_blocks * current_setting('block_size')::numeric / 1048576 / d.all_calls AS temp_mb,
        d.wal_bytes / d.all_calls AS wal_per_call,
        r.is_window, r.stats_reset, r.dealloc,
        greatest(extract(epoch FROM clock_timestamp()
            - CASE WHEN r.is_window THEN $5 ELSE r.stats_reset END), 0.001) AS seconds
    FROM details AS d
    JOIN top AS t USING (queryid, dbid)
    CROSS JOIN reset AS r
),
judged AS (
    SELECT f.*,
        array_remove(ARRAY[
            CASE WHEN f.earlier_mean > 0 AND f.calls >= 20 AND f.window_mean >= 2 * f.earlier_mean
                AND f.window_mean > 20
                THEN 'slower than before' END,
            CASE WHEN f.share > 33 THEN 'top load' END,
            CASE WHEN f.calls >= 20 AND f.window_mean > 100 OR f.window_mean > 1000 THEN 'slow' END,
            CASE WHEN f.temp_blocks > 0 THEN 'spills to disk' END,
            CASE WHEN f.all_calls >= 20 AND f.hit_pct < 90 THEN 'low cache hit' END,
            CASE WHEN f.read > 1000 * f.all_calls THEN 'many reads' END,
            CASE WHEN f.all_calls >= 20 AND f.stddev_ms > f.mean_ms AND f.mean_ms > 10
                THEN 'unstable' END,
            CASE WHEN f.wal_per_call > 1048576 THEN 'heavy WAL' END,
            CASE WHEN f.rows_per_call > 10000 THEN 'fetches very much' END,
            CASE WHEN f.calls >= 5000 AND f.window_mean <= 2 AND f.rows_per_call <= 2
                THEN 'many small calls' END,
            CASE WHEN f.plan_ms > f.exec_ms AND f.all_calls >= 20 THEN 'planning' END,
            CASE WHEN f.jit_ms > 0.3 * f.exec_ms THEN 'JIT' END,
            CASE WHEN f.is_new THEN 'new' END
        ], NULL) AS findings
    FROM figures AS f
),
running AS (
    SELECT s.*, extract(epoch FROM clock_timestamp() - s.query_start) * 1000 AS ms
    FROM pg_stat_activity AS s
    WHERE s.state = 'active' AND s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
        AND s.query_start < statement_timestamp() - interval '1 s'
    ORDER BY s.query_start
    LIMIT 20
)
SELECT
    j.queryid::text AS query_hash, crewsnow_ops.mask_literals(j.query) AS query_snippet, j.calls,
    round(j.window_ms::numeric, 3) AS total_time_ms,
    round(j.window_mean::numeric, 3) AS avg_time_ms, round(j.max_ms::numeric, 3) AS max_time_ms,
    CASE
        WHEN 'slower than before' = ANY (j.findings)
            THEN format('Its mean was %s ms before: check for a changed plan (ANALYZE its tables) '
                'or lock waits.',
            round(j.earlier_mean::numeric, 1))
        WHEN 'spills to disk' = ANY (j.findings)
            THEN 'Sorts or hashes go to disk: raise work_mem for its role, or select fewer columns '
                'and rows.'
        WHEN 'many reads' = ANY (j.findings)
            THEN 'It reads many blocks per call: create a more selective index.'
        WHEN 'low cache hit' = ANY (j.findings)
            THEN 'It reads from disk: an index is missing, or its data does not fit in '
                'shared_buffers.'
        WHEN 'planning' = ANY (j.findings)
            THEN 'Planning takes longer than execution: prepare it once, or use fewer partitions '
                'and joins.'
        WHEN 'JIT' = ANY (j.findings)
            THEN 'JIT compilation takes the time: raise jit_above_cost, or turn jit off for its '
                'role.'
        WHEN 'unstable' = ANY (j.findings)
            THEN 'Its time varies: plan changes, skewed values or lock waits. Compare EXPLAIN of a '
                'fast and a slow call.'
        WHEN 'heavy WAL' = ANY (j.findings)
            THEN 'It writes much WAL per call: batch it, drop unused indexes, space checkpoints '
                'further apart.'
        WHEN 'fetches very much' = ANY (j.findings)
            THEN 'It returns very many rows: use LIMIT, or page by key.'
        WHEN 'many small calls' = ANY (j.findings)
            THEN 'It is called very often: fetch in batches, or cache.'
        WHEN 'slow' = ANY (j.findings) OR 'top load' = ANY (j.findings)
            THEN 'Read its plan with EXPLAIN (ANALYZE, BUFFERS), then index or rewrite it.'
        ELSE 'Nothing stands out.'
    END AS optimization_suggestion,
    j.queryid, (SELECT d.datname FROM pg_database AS d WHERE d.oid = j.dbid)::text AS database,
    j.users AS user_names, NULL::integer AS pid,
    round(j.share::numeric, 1) AS share_pct,
    round((j.calls / j.seconds)::numeric, 3) AS calls_per_second,
    round(j.stddev_ms::numeric, 3) AS stddev_ms,
    round((j.stddev_ms / nullif(j.mean_ms, 0))::numeric, 2) AS stddev_to_mean,
    round(j.rows_per_call, 1) AS rows_per_call, round(j.hit_pct, 1) AS cache_hit_pct,
    round(j.temp_mb, 2) AS temp_mb_per_call,
    round(j.wal_per_call) AS wal_bytes_per_call,
    round((100 * j.plan_ms / nullif(j.plan_ms + j.exec_ms, 0))::numeric, 1) AS plan_time_pct,
    CASE WHEN current_setting('track_io_timing') = 'on'
        THEN round((100 * j.io_ms / nullif(j.exec_ms, 0))::numeric, 1) END AS io_time_pct,
    CASE WHEN j.is_window THEN 'since ' || $5 || '; max, stddev and per-call figures: lifetime'
        ELSE 'lifetime since ' || j.stats_reset END
        || CASE WHEN j.dealloc > 0 THEN format('; incomplete: %s evictions', j.dealloc) ELSE '' END
            AS "window",
    array_to_string(j.findings, ', ') AS finding
FROM judged AS j
UNION ALL
SELECT
    coalesce(r.query_id::text, 'pid ' || r.pid), crewsnow_ops.mask_literals(r.query), 1,
    round(r.ms, 3), round(r.ms, 3), round(r.ms, 3),
    CASE WHEN r.wait_event_type = 'Lock'
        THEN 'It waits for a lock: SELECT * FROM crewsnow_ops.blocking_tree;'
        ELSE format('It runs now and is not counted yet. To stop it: SELECT pg_cancel_backend(%s);',
            r.pid) END,
    r.query_id, r.datname::text, r.usename::text, r.pid, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL,
    'now', 'running' || coalesce(', waits for ' || r.wait_event_type || ':' || r.wait_event, '')
FROM running AS r
UNION ALL
SELECT '(hidden)', NULL, 0, 0, 0, 0,
    format('Other users'' statements are hidden from this role: GRANT pg_read_all_stats TO %I;',
        current_user),
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    'now', 'SKIPPED'
WHERE NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
ORDER BY total_time_ms DESC
