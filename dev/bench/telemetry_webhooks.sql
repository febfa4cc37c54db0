-- The view over webhooks against a query that reads the raw rows. See telemetry_events.sql.
SET jit = off;
CREATE TABLE bench.raw AS SELECT processed_at, status = 'failed' AS failed FROM processed_events;
CREATE INDEX raw_by_time ON bench.raw (processed_at) INCLUDE (failed);
CREATE STATISTICS bench.raw_minutes ON (date_trunc('minute', processed_at)) FROM bench.raw;
VACUUM (FREEZE, ANALYZE) bench.raw;
\i dev/bench/telemetry_wait.sql
CALL bench.compare('stripe_webhook_monitoring', 'SELECT * FROM stripe_webhook_monitoring', $$
    SELECT date_trunc('minute', processed_at), count(*), count(*) FILTER (WHERE failed)
    FROM bench.raw
    WHERE processed_at >= date_trunc('minute', now()) - interval '10 minutes' GROUP BY 1
$$, :rounds);
DROP TABLE bench.raw;
