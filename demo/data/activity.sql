-- Stays, rides, groups, subscriptions and boosts.

-- Stays: up to two per user, each at another station of the region.
INSERT INTO public.user_station_status (id, user_id, station_id, date_from, date_to, radius_km,
    created_at)
SELECT
    pg_temp.id('stay', n),
    id,
    station_ids[1 + (floor(97 * pg_temp.u('goes', i))::integer + k) % cardinality(station_ids)],
    date_from,
    date_from + floor(7 * pg_temp.u('stays', n))::integer,
    (ARRAY[10, 25, 25, 50])[1 + floor(4 * pg_temp.u('radius', n))::integer],
    planned_at
FROM person
JOIN area USING (region),
    generate_series(0, 1) AS k,
    LATERAL (SELECT i * 10 + k AS n) AS stay,
    LATERAL (SELECT pg_temp.at(1 - (1 - joins) * power(pg_temp.u('plans', n), 2)) AS planned_at)
        AS planned,
    LATERAL (SELECT (planned_at AT TIME ZONE 'UTC')::date +
        floor(35 * power(pg_temp.u('from', n), 2))::integer AS date_from) AS begins
WHERE pg_temp.u('travels', n) < 0.35
ORDER BY n;

-- Rides: a third of the older accounts use the tracker, on 22 % of weekend days and 3 % of other
-- days. A week is the seven days that end today or a multiple of seven days ago, so it has each day
-- once.
INSERT INTO public.ride_stats_daily (user_id, station_id, ride_date, runs, distance_km, vertical_m,
    top_speed_kmh)
SELECT
    id,
    station_ids[1 + floor(cardinality(station_ids) * power(pg_temp.u('rides at', n), 2))::integer],
    today - week * 7 - (extract(isodow FROM today)::integer - weekday + 7) % 7,
    runs,
    round((runs * (2.2 + 0.5 * pg_temp.z('run', n)))::numeric, 1),
    runs * (380 + floor(260 * pg_temp.u('drop', n)))::integer,
    round((58 + 11 * pg_temp.z('speed', n))::numeric, 1)
FROM person
JOIN area USING (region),
    generate_series(0, 11) AS week,
    generate_series(1, 7) AS weekday,
    LATERAL (SELECT (now() AT TIME ZONE 'UTC')::date AS today, i * 100 + week * 7 + weekday AS n)
        AS day,
    LATERAL (SELECT greatest(1, round(14 + 5 * pg_temp.z('runs', n)))::integer AS runs) AS ridden
WHERE joins = 0 AND pg_temp.u('tracker', i) < 0.33
    AND pg_temp.u('rides', n) < CASE WHEN weekday > 5 THEN 0.22 ELSE 0.03 END
ORDER BY n;

-- Groups of three to eight users of one region: the numbers of members differ by multiples of 20.
CREATE TEMP TABLE crew ON COMMIT DROP AS
SELECT n, k, member.id AS user_id, member.joins, owner.region,
    owner.joins + (1 - owner.joins) * pg_temp.u('founded', n) AS founded
FROM (SELECT n, pg_temp.draw_user('founder', n) AS i FROM generate_series(1, 250) AS n) AS drawn
JOIN person AS owner ON owner.i = drawn.i,
    generate_series(0, 2 + floor(6 * pg_temp.u('crew', n))::integer) AS k
JOIN person AS member ON true
WHERE member.i = (owner.i + k * 20 * (1 + floor(30 * pg_temp.u('crew step', n))::integer)) % 5000;
INSERT INTO public.groups (id, name, owner_id, station_id, created_at)
SELECT
    pg_temp.id('group', n),
    format(
        pg_temp.pick(ARRAY['Freeride %s', 'Crew %s', '%s Powder Club', 'Week-end à %s',
            'Skitour %s'], pg_temp.u('called', n)),
        names[station]
    ),
    user_id,
    station_ids[station],
    pg_temp.at(founded)
FROM crew
JOIN area USING (region),
    LATERAL (SELECT 1 + floor(cardinality(names) * pg_temp.u('crew at', n))::integer AS station)
    AS place
WHERE k = 0
ORDER BY n;
INSERT INTO public.group_members (group_id, user_id, joined_at)
SELECT
    pg_temp.id('group', n),
    user_id,
    CASE k WHEN 0 THEN pg_temp.at(founded) ELSE
        pg_temp.at(greatest(founded, joins) +
            (1 - greatest(founded, joins)) * power(pg_temp.u('crew joins', n * 10 + k), 2))
    END
FROM crew
ORDER BY n, k;

-- Subscriptions: one user in five has or had one. One in ten of the paying users had an earlier
-- one.
CREATE TEMP TABLE subscriber ON COMMIT DROP AS
SELECT *, pg_temp.pick(ARRAY['premium_monthly', 'premium_monthly', 'premium_season',
    'premium_yearly'], pg_temp.u('plan', i)) AS plan
FROM (
    SELECT i, id, joins, joined_at,
        (ARRAY['active', 'trialing', 'past_due', 'canceled', 'incomplete', 'unpaid'])
            [width_bucket(pg_temp.u('subscription', i), ARRAY[0, 0.115, 0.125, 0.14, 0.19, 0.195])]
                AS status,
        -- Trials last a week and started within it.
        greatest(joined_at, CASE
            WHEN pg_temp.u('subscription', i) >= 0.115 AND pg_temp.u('subscription', i) < 0.125
                THEN now() - interval '7 days' * pg_temp.u('subscribes', i)
            ELSE pg_temp.at(joins + (1 - joins) * pg_temp.u('subscribes', i))
        END) AS subscribed_at
    FROM person
    WHERE pg_temp.u('subscription', i) < 0.2
) AS drawn;
INSERT INTO public.subscriptions (id, user_id, stripe_customer_id, stripe_subscription_id, plan,
    status, current_period_start,
    current_period_end, cancel_at_period_end, created_at, updated_at)
SELECT
    pg_temp.id('subscription', n),
    id,
    'cus_' || substr(md5('customer' || i), 1, 14),
    'sub_' || substr(md5('subscription' || n), 1, 24),
    plan,
    status,
    period_start,
    period_start + period,
    status = 'active' AND pg_temp.u('ends', n) < 0.08,
    created_at,
    least(now(), period_start + interval '3 seconds')
FROM (
    SELECT i * 10 AS n, i, id, plan, status, subscribed_at AS created_at FROM subscriber
    UNION ALL
    SELECT i * 10 + 1, i, id, 'premium_monthly', 'canceled',
        joined_at + (subscribed_at - joined_at) * 0.3
    FROM subscriber WHERE status = 'active' AND pg_temp.u('subscribed before', i) < 0.1
) AS subscribed,
    LATERAL (SELECT CASE
        WHEN status = 'trialing' THEN interval '7 days'
        WHEN plan = 'premium_monthly' THEN interval '30 days'
        WHEN plan = 'premium_season' THEN interval '150 days'
        ELSE interval '365 days'
    END AS period) AS lasts,
    -- The period began at the last renewal before now.
    LATERAL (SELECT created_at + CASE WHEN status IN ('active', 'past_due', 'unpaid')
        THEN period * floor(extract(epoch FROM now() - created_at) / extract(epoch FROM period))
            ELSE '0' END AS period_start) AS renewed
ORDER BY n;

-- Boosts: a few users buy most of them. The latest are active now.
INSERT INTO public.boosts (id, user_id, station_id, starts_at, ends_at, created_at)
SELECT
    pg_temp.id('boost', n),
    id,
    station_ids[1 + floor(cardinality(station_ids) *
        power(pg_temp.u('boosts at', n), 1.5))::integer],
    bought_at,
    bought_at + (ARRAY['30 minutes', '2 hours', '1 day']::interval[])
        [width_bucket(pg_temp.u('boosts for', n), ARRAY[0, 0.6, 0.85])],
    bought_at
FROM generate_series(1, 900) AS n
JOIN person ON i = pg_temp.draw_user('booster', n)
JOIN area USING (region),
    LATERAL (SELECT pg_temp.at(1 - (1 - joins) * power(pg_temp.u('boosts', n), 1.5)) AS bought_at)
        AS bought
ORDER BY n;
