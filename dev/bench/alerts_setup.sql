-- Fifty rules whose queries read a table of readings. The built-in rules are off: alerts_real.sql
-- turns them on.
CREATE EXTENSION crewsnow_ops;
UPDATE crewsnow_ops.alert_rules SET is_enabled = false;
CREATE TABLE reading (rule int, host int, at timestamptz, value double precision);
INSERT INTO reading
SELECT r, h, now() - n * interval '1 second', (r * 7 + h * 3 + n) % 100
FROM generate_series(1, 50) AS r, generate_series(1, 20) AS h, generate_series(1, 20) AS n;
CREATE INDEX ON reading (rule);
VACUUM ANALYZE reading;
INSERT INTO crewsnow_ops.alert_rules (name, description, query, critical, every)
SELECT 'bench-' || n, 'a reading is high',
    format('SELECT r.host::text, avg(r.value), ''mean of the last readings''
        FROM public.reading AS r WHERE r.rule = %s GROUP BY r.host', n),
    1000, '1 second'
FROM generate_series(1, 50) AS n;
