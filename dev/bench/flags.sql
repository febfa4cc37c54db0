-- The cost of an evaluation per row of a scan, with 200 flags and with 10,000.
-- Each query runs :rounds times.
SET max_parallel_workers_per_gather = 0;
SET jit = off;
INSERT INTO feature_flags (flag_key, is_enabled, rollout_percentage, target_premium_only)
SELECT 'flag_' || n, true, CASE WHEN n % 2 = 0 THEN 50 ELSE 100 END, n = 3
FROM generate_series(1, 187) AS n;
INSERT INTO crewsnow_ops.user_context (user_id, is_premium) SELECT id, true FROM bench.some_users;
ANALYZE crewsnow_ops.user_context;
CALL bench.measure('large', '', 1000000, :rounds);
CALL bench.measure('small', '', 50000, 3);
INSERT INTO feature_flags (flag_key, is_enabled, rollout_percentage)
SELECT 'flag_' || n, true, 100 FROM generate_series(188, 9987) AS n;
CALL bench.measure('large', ', 10,000 flags', 1000000, :rounds);
