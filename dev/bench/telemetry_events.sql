-- The views over events against queries that read the raw rows. The rivals get every help: a narrow
-- table with this hour only, status and time as numbers, and a covering index each. The table is
-- vacuumed, its statistics allow parallel plans, and the sorts have memory. JIT is off, because it
-- slows these queries down.
SET jit = off;
SET work_mem = '256MB';
DROP TABLE IF EXISTS bench.raw;
CREATE TABLE bench.raw AS
SELECT created_at, function_name, (payload ->> 'status_code')::smallint AS status,
    execution_time_ms::double precision
FROM event_log;
CREATE INDEX raw_by_time ON bench.raw (created_at)
    INCLUDE (function_name, status, execution_time_ms);
-- The best index for percentiles: functions and their execution times are sorted already. Every
-- period needs a scan of the whole index.
CREATE INDEX raw_by_function ON bench.raw (function_name, execution_time_ms) INCLUDE (created_at);
CREATE STATISTICS bench.raw_minutes ON (date_trunc('minute', created_at)), function_name
FROM bench.raw;
VACUUM (FREEZE, ANALYZE) bench.raw;
\i dev/bench/telemetry_wait.sql
CALL bench.compare('error_rate_monitoring', 'SELECT * FROM error_rate_monitoring', $$
    SELECT date_trunc('minute', created_at), function_name, count(*),
        count(*) FILTER (WHERE status >= 500)
    FROM bench.raw
    WHERE created_at >= date_trunc('minute', now()) - interval '10 minutes' GROUP BY 1, 2
$$, :rounds);
INSERT INTO bench.results (what, value)
SELECT 'events of the hour', count(*) FROM bench.raw
WHERE created_at >= date_trunc('minute', now()) - interval '1 hour' AND created_at <= now();
SELECT $$
    SELECT function_name, count(*), avg(execution_time_ms),
        percentile_cont(0.95) WITHIN GROUP (ORDER BY execution_time_ms)
    FROM bench.raw
    WHERE created_at >= date_trunc('minute', now()) - interval '1 hour' GROUP BY 1
$$ AS percentiles \gset
CALL bench.compare('edge_functions_monitoring', 'SELECT * FROM edge_functions_monitoring',
    :'percentiles', :rounds);
CALL bench.compare('dashboard', 'SELECT * FROM crewsnow_ops.dashboard', '', :rounds);
CALL bench.run_uncounted('error_rate_monitoring, nothing rolled up',
    'SELECT * FROM error_rate_monitoring');
CALL bench.run_uncounted('error_rate_monitoring, nothing rolled up',
    'SELECT * FROM error_rate_monitoring');
CALL bench.run_uncounted('error_rate_monitoring, nothing rolled up',
    'SELECT * FROM error_rate_monitoring');
CALL bench.run_uncounted('edge_functions_monitoring, nothing rolled up',
    'SELECT * FROM edge_functions_monitoring');
CALL bench.run_uncounted('edge_functions_monitoring, nothing rolled up',
    'SELECT * FROM edge_functions_monitoring');
CALL bench.run_uncounted('edge_functions_monitoring, nothing rolled up',
    'SELECT * FROM edge_functions_monitoring');
DROP INDEX bench.raw_by_function;
CALL bench.run('percentiles with an index on time only', :'percentiles');
CALL bench.run('percentiles with an index on time only', :'percentiles');
CALL bench.run('percentiles with an index on time only', :'percentiles');
DROP TABLE bench.raw;

CREATE TABLE bench.rollups (LIKE crewsnow_ops.event_rollups INCLUDING ALL);
INSERT INTO bench.rollups SELECT * FROM crewsnow_ops.event_rollups;
VACUUM FULL bench.rollups;
INSERT INTO bench.results (what, value)
SELECT v.* FROM
    (SELECT count(*) AS rows, avg(octet_length(latency)) AS bytes FROM bench.rollups) AS r,
    LATERAL (VALUES
        ('rollup rows', r.rows),
        ('bytes of a sketch', r.bytes),
        ('bytes of a function and minute, packed',
            pg_total_relation_size('bench.rollups') / r.rows),
        ('bytes of a function and minute',
            pg_total_relation_size('crewsnow_ops.event_rollups') / r.rows)
    ) AS v;
DROP TABLE bench.rollups;
