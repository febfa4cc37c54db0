-- The cost of an evaluation, a row of a scan over :rows users, in nanoseconds over the bare scan. The best of the rounds counts: what
-- disturbs only slows down.
SET max_parallel_workers_per_gather = 0;
SET jit = off;
INSERT INTO feature_flags (flag_key, is_enabled, rollout_percentage, target_premium_only)
SELECT 'flag_' || n, true, CASE WHEN n % 2 = 0 THEN 50 ELSE 100 END, n = 3 FROM generate_series(1, 187) AS n;
INSERT INTO crewsnow_ops.user_context (user_id, is_premium) SELECT id, true FROM bench.users LIMIT 50000;
ANALYZE crewsnow_ops.user_context;

CALL bench.measure(
    ARRAY['scan', 'empty native function', '100 %', '50 %', 'two flags in turn'],
    ARRAY[
        'SELECT count(*) FROM bench.users',
        $$SELECT count(*) FROM bench.users WHERE bench.empty_native('flag_1', id)$$,
        $$SELECT count(*) FROM bench.users WHERE is_feature_enabled_for_user('flag_1', id)$$,
        $$SELECT count(*) FROM bench.users WHERE is_feature_enabled_for_user('flag_2', id)$$,
        $$SELECT count(*) FROM bench.users WHERE is_feature_enabled_for_user('flag_1', id) AND is_feature_enabled_for_user('flag_5', id)$$
    ],
    1000000, :rounds);
CALL bench.measure(
    ARRAY['small scan', 'PL/pgSQL, 100 %', 'PL/pgSQL, 50 %', 'least PL/pgSQL, 50 %', 'targeted by table'],
    ARRAY[
        'SELECT count(*) FROM (SELECT id FROM bench.users LIMIT 50000) AS u',
        $$SELECT count(*) FROM (SELECT id FROM bench.users LIMIT 50000) AS u WHERE bench.handmade('flag_1', id)$$,
        $$SELECT count(*) FROM (SELECT id FROM bench.users LIMIT 50000) AS u WHERE bench.handmade('flag_2', id)$$,
        $$SELECT count(*) FROM (SELECT id FROM bench.users LIMIT 50000) AS u WHERE bench.bare('flag_2', id)$$,
        $$SELECT count(*) FROM (SELECT id FROM bench.users LIMIT 50000) AS u WHERE is_feature_enabled_for_user('flag_3', id)$$
    ],
    50000, 3);

INSERT INTO feature_flags (flag_key, is_enabled, rollout_percentage)
SELECT 'flag_' || n, true, 100 FROM generate_series(188, 9987) AS n;
CALL bench.measure(
    ARRAY['scan', 'empty native function', '100 %, 10,000 flags', '50 %, 10,000 flags', 'two flags in turn, 10,000 flags'],
    ARRAY[
        'SELECT count(*) FROM bench.users',
        $$SELECT count(*) FROM bench.users WHERE bench.empty_native('flag_1', id)$$,
        $$SELECT count(*) FROM bench.users WHERE is_feature_enabled_for_user('flag_1', id)$$,
        $$SELECT count(*) FROM bench.users WHERE is_feature_enabled_for_user('flag_2', id)$$,
        $$SELECT count(*) FROM bench.users WHERE is_feature_enabled_for_user('flag_1', id) AND is_feature_enabled_for_user('flag_5', id)$$
    ],
    1000000, :rounds);
