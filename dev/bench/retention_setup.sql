-- Equal days for crewsnow_ops and for pg_partman: 2 * :days old ones of :rows events, and today.
CREATE EXTENSION crewsnow_ops;
CREATE SCHEMA partman;
CREATE EXTENSION pg_partman SCHEMA partman;
CREATE SCHEMA bench;

SELECT FROM crewsnow_ops.roll_up_events() \g /dev/null
CREATE TABLE bench.log (LIKE event_log INCLUDING DEFAULTS) PARTITION BY RANGE (created_at);
SELECT partman.create_parent('bench.log', 'created_at', 'native', 'daily', p_premake => 3,
    p_start_partition => (now() - (2 * :days + 4) * interval '1 day')::text) \g /dev/null
UPDATE partman.part_config SET retention_keep_table = false, retention_keep_index = false;

SELECT format(
        'CREATE TABLE crewsnow_ops.%1$I (LIKE event_log INCLUDING ALL);
        CREATE INDEX ON crewsnow_ops.%1$I USING brin (tx, created_at);
        ALTER TABLE event_log ATTACH PARTITION crewsnow_ops.%1$I FOR VALUES FROM (%2$L) TO (%3$L)',
        'past_' || n, day - n * interval '1 day', day - (n - 1) * interval '1 day')
FROM generate_series(1, 2 * :days + 3) AS n, date_trunc('day', now(), 'UTC') AS day \gexec

INSERT INTO event_log (event_type, function_name, execution_time_ms, created_at)
SELECT 'edge_function_call', 'function-' || n % 40, n % 900,
    date_trunc('day', now(), 'UTC') - d * interval '1 day' + n % 86000 * interval '1 second'
FROM generate_series(1, 2 * :days + 3) AS d, generate_series(1, :rows) AS n;
INSERT INTO bench.log SELECT * FROM event_log;
DO $$ BEGIN
    WHILE NOT (SELECT is_complete FROM crewsnow_ops.roll_up_events()) LOOP END LOOP;
END $$;
VACUUM ANALYZE;
CHECKPOINT;
