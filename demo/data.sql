-- Made-up but plausible data: 5,000 users, 60 stations, 12,000 matches, 200,000 messages of the last 90 days, and the last hour of
-- operations with an incident in it. After schema.sql, before or after sync.sql; as superuser, into empty tables.
--
-- Deterministic: everything is derived from hashes of row numbers, so two loads differ in their times only. All times count back
-- from the now() of this one transaction.
BEGIN;
SET LOCAL work_mem = '64MB';
SET LOCAL jit = off;  -- compiling would take longer than it saves

-- u: uniform in [0, 1). z: standard normal. pick: an element by a number in [0, 1). id: the uuid of the i-th thing of a kind.
CREATE FUNCTION pg_temp.u(label text, i bigint) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ((hashint8extended(i, hashtextextended(label, 42)) >> 12) & 4503599627370495)::double precision / 4503599627370496
$$;
CREATE FUNCTION pg_temp.z(label text, i bigint) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sqrt(-2 * ln(1 - pg_temp.u(label, i))) * cos(2 * pi() * pg_temp.u(label || ' angle', i))
$$;
CREATE FUNCTION pg_temp.pick(choices text[], x double precision) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT choices[1 + floor(x * cardinality(choices))::integer]
$$;
CREATE FUNCTION pg_temp.id(kind text, i bigint) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT md5('crewsnow:' || kind || ':' || i)::uuid
$$;
-- The number, 0 to 4999, of some user; few are met often, most are met rarely.
CREATE FUNCTION pg_temp.somebody(label text, i bigint) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (floor(5000 * power(pg_temp.u(label, i), 1.7))::integer * 2731 + length(label) * 17) % 5000
$$;

-- The clock: 16,384 steps through the last 90 days that are short when people are busy (evenings, weekends, lately) and long when
-- they sleep. A position x in [0, 1) is a time within step floor(x * 16384); later positions are later times.
CREATE TEMP TABLE clock ON COMMIT DROP AS
WITH hours AS (
    SELECT hour, now() - (2160 - hour) * interval '1 hour' AS starts
    FROM generate_series(0, 2159) AS hour
), weighted AS (
    SELECT hour, starts,
        (ARRAY[8, 4, 2, 1, 1, 2, 8, 20, 28, 24, 22, 28, 45, 38, 26, 28, 42, 62, 78, 88, 98, 92, 66, 28])
            [1 + extract(hour FROM starts AT TIME ZONE 'Europe/Zurich')::integer]
        * (ARRAY[1, 0.95, 1, 1.05, 1.2, 1.4, 1.35])[extract(isodow FROM starts AT TIME ZONE 'Europe/Zurich')::integer]
        * (0.6 + 0.4 * hour / 2160) AS weight
    FROM hours
), cumulated AS (
    SELECT starts, weight / sum(weight) OVER () AS share, (sum(weight) OVER (ORDER BY hour) - weight) / sum(weight) OVER () AS before
    FROM weighted
), steps AS (
    SELECT step, min(starts + (step / 16384.0 - before) / share * interval '1 hour') AS starts
    FROM cumulated, generate_series(ceil(before * 16384)::integer, ceil((before + share) * 16384)::integer - 1) AS step
    GROUP BY step
)
SELECT step, starts, lead(starts, 1, now()) OVER (ORDER BY step) - starts AS lasts FROM steps WHERE step < 16384;
ALTER TABLE clock ADD PRIMARY KEY (step);
ANALYZE clock;
-- Convenient; large statements join the clock instead.
CREATE FUNCTION pg_temp.at(x double precision) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT starts + (x * 16384 - step) * lasts FROM clock WHERE step = least(16383, floor(x * 16384)::integer)
$$;

-- Stations: approximate coordinates and altitudes.
CREATE TEMP TABLE place ON COMMIT DROP AS
SELECT row_number() OVER () AS n, (row_number() OVER (PARTITION BY country ORDER BY name) - 1)::integer AS rank, *
FROM (VALUES
    ('Chamonix-Mont-Blanc', 'FR', 45.9237, 6.8694, 1035, 3842), ('Val Thorens', 'FR', 45.2980, 6.5800, 1800, 3230),
    ('Courchevel', 'FR', 45.4153, 6.6347, 1260, 2738), ('Méribel', 'FR', 45.3967, 6.5656, 1400, 2952),
    ('Les Menuires', 'FR', 45.3242, 6.5386, 1400, 2850), ('La Plagne', 'FR', 45.5067, 6.6775, 1250, 3080),
    ('Les Arcs', 'FR', 45.5725, 6.8289, 1200, 3226), ('Tignes', 'FR', 45.4683, 6.9056, 1550, 3456),
    ('Val-d''Isère', 'FR', 45.4481, 6.9803, 1785, 3456), ('Alpe d''Huez', 'FR', 45.0922, 6.0711, 1120, 3330),
    ('Les Deux Alpes', 'FR', 45.0089, 6.1222, 1300, 3568), ('Serre Chevalier', 'FR', 44.9456, 6.5586, 1200, 2800),
    ('Megève', 'FR', 45.8569, 6.6175, 1030, 2353), ('Saint-Gervais', 'FR', 45.8925, 6.7128, 860, 2525),
    ('Les Contamines-Montjoie', 'FR', 45.8208, 6.7275, 1164, 2487), ('La Clusaz', 'FR', 45.9044, 6.4236, 1040, 2600),
    ('Le Grand-Bornand', 'FR', 45.9417, 6.4278, 1000, 2100), ('Flaine', 'FR', 46.0050, 6.6894, 1600, 2500),
    ('Morzine', 'FR', 46.1792, 6.7089, 1000, 2466), ('Avoriaz', 'FR', 46.1911, 6.7753, 1800, 2466),
    ('Les Gets', 'FR', 46.1586, 6.6697, 1172, 2002), ('Châtel', 'FR', 46.2656, 6.8408, 1200, 2200),
    ('Valloire', 'FR', 45.1656, 6.4289, 1430, 2600), ('Risoul', 'FR', 44.6236, 6.6342, 1850, 2750),
    ('Isola 2000', 'FR', 44.1856, 7.1547, 1840, 2610), ('La Rosière', 'FR', 45.6267, 6.8492, 1150, 2850),
    ('Zermatt', 'CH', 46.0207, 7.7491, 1620, 3883), ('Verbier', 'CH', 46.0961, 7.2286, 1500, 3330),
    ('St. Moritz', 'CH', 46.4908, 9.8355, 1720, 3303), ('Davos', 'CH', 46.8027, 9.8360, 1124, 2844),
    ('Saas-Fee', 'CH', 46.1081, 7.9275, 1800, 3600), ('Crans-Montana', 'CH', 46.3128, 7.4806, 1500, 2927),
    ('Grindelwald', 'CH', 46.6242, 8.0414, 943, 2500), ('Wengen', 'CH', 46.6083, 7.9222, 1274, 2320),
    ('Mürren', 'CH', 46.5592, 7.8925, 1650, 2970), ('Laax', 'CH', 46.8086, 9.2581, 1100, 3018),
    ('Andermatt', 'CH', 46.6356, 8.5939, 1444, 2961), ('Engelberg', 'CH', 46.8211, 8.4013, 1050, 3020),
    ('Arosa', 'CH', 46.7783, 9.6800, 1739, 2653), ('Lenzerheide', 'CH', 46.7278, 9.5578, 1229, 2865),
    ('Adelboden', 'CH', 46.4919, 7.5603, 1353, 2362), ('Gstaad', 'CH', 46.4750, 7.2861, 1050, 2151),
    ('Villars', 'CH', 46.2989, 7.0561, 1200, 2120), ('Nendaz', 'CH', 46.1872, 7.3028, 1365, 3330),
    ('St. Anton am Arlberg', 'AT', 47.1275, 10.2636, 1304, 2811), ('Lech', 'AT', 47.2083, 10.1417, 1450, 2450),
    ('Ischgl', 'AT', 47.0125, 10.2919, 1377, 2872), ('Sölden', 'AT', 46.9656, 11.0075, 1350, 3340),
    ('Kitzbühel', 'AT', 47.4464, 12.3920, 800, 2000), ('Mayrhofen', 'AT', 47.1667, 11.8667, 630, 2500),
    ('Saalbach', 'AT', 47.3914, 12.6364, 1003, 2096), ('Obergurgl', 'AT', 46.8700, 11.0272, 1793, 3080),
    ('Zell am See', 'AT', 47.3236, 12.7969, 757, 2000), ('Schladming', 'AT', 47.3942, 13.6872, 745, 2015),
    ('Cortina d''Ampezzo', 'IT', 46.5369, 12.1392, 1224, 2930), ('Cervinia', 'IT', 45.9336, 7.6294, 2050, 3480),
    ('Courmayeur', 'IT', 45.7967, 6.9689, 1224, 2755), ('Livigno', 'IT', 46.5386, 10.1356, 1816, 2798),
    ('Madonna di Campiglio', 'IT', 46.2297, 10.8267, 1520, 2500), ('Sestriere', 'IT', 44.9583, 6.8792, 1840, 2823)
) AS stations (name, country, latitude, longitude, base_m, summit_m);
INSERT INTO public.stations (id, slug, name, country, latitude, longitude, base_m, summit_m)
SELECT pg_temp.id('station', n), regexp_replace(lower(translate(name, 'éèêâöü', 'eeeaou')), '[^a-z0-9]+', '-', 'g'),
    name, country, latitude, longitude, base_m, summit_m
FROM place ORDER BY n;
CREATE TEMP TABLE area ON COMMIT DROP AS
SELECT country AS region, array_agg(pg_temp.id('station', n) ORDER BY rank) AS station_ids, array_agg(name ORDER BY rank) AS names
FROM place GROUP BY country;

-- Users. Number i decides the region, so that likes can stay within one. joins is the position on the clock at which somebody
-- signed up; 0 for the 60 % who did so in the year before it starts.
CREATE TEMP TABLE person ON COMMIT DROP AS
WITH drawn AS (
    SELECT i, pg_temp.id('user', i) AS id,
        (ARRAY['FR', 'CH', 'FR', 'AT', 'FR', 'CH', 'FR', 'IT', 'FR', 'CH', 'FR', 'AT', 'CH', 'FR', 'CH', 'FR', 'IT', 'CH', 'AT', 'FR'])
            [1 + i % 20] AS region,
        CASE WHEN pg_temp.u('gender', i) < 0.46 THEN 'woman' WHEN pg_temp.u('gender', i) < 0.97 THEN 'man' ELSE 'nonbinary' END AS gender,
        greatest(0, (pg_temp.u('joins', i) - 0.6) / 0.4) AS joins
    FROM generate_series(0, 4999) AS i
)
SELECT drawn.*,
    CASE
        WHEN region = 'CH' AND pg_temp.u('romand', i) < 0.35 THEN 'fr'
        WHEN region IN ('CH', 'AT') THEN 'de'
        ELSE lower(region)
    END AS lang,
    -- 84 days are 12 weeks: the hours and weekdays of the clock hold for the time before it.
    pg_temp.at(CASE WHEN joins > 0 THEN joins ELSE pg_temp.u('joined', i) END)
        - CASE WHEN joins > 0 THEN 0 ELSE ceil(4 * pg_temp.u('earlier', i)) END * interval '84 days' AS joined_at
FROM drawn;
ALTER TABLE person ADD PRIMARY KEY (i);
ANALYZE person;

CREATE TEMP TABLE first_name ON COMMIT DROP AS
SELECT lang, gender, string_to_array(names, ' ') AS names FROM (VALUES
    ('fr', 'woman', 'Léa Camille Manon Chloé Inès Jade Louise Zoé Clara Emma Juliette Anaïs Margaux Élodie Pauline Mathilde Lucie Noémie'),
    ('fr', 'man', 'Lucas Hugo Théo Louis Gabriel Maxime Antoine Julien Nicolas Thomas Baptiste Clément Romain Quentin Adrien Bastien'),
    ('de', 'woman', 'Anna Lena Laura Sarah Lea Julia Nina Katharina Magdalena Johanna Sophie Theresa Eva Carina Selina Ladina Seraina'),
    ('de', 'man', 'Lukas Noah Elias Jonas David Simon Fabian Tobias Florian Stefan Matthias Dominik Andreas Reto Urs Beat Gian Sandro'),
    ('it', 'woman', 'Giulia Martina Chiara Sofia Francesca Alessia Elisa Federica Valentina Beatrice Elena Arianna Giorgia Silvia Marta'),
    ('it', 'man', 'Matteo Lorenzo Alessandro Andrea Davide Federico Luca Marco Simone Riccardo Tommaso Edoardo Pietro Nicolò Giacomo'),
    ('fr', 'nonbinary', 'Alix Charlie Sacha Camille Maé'), ('de', 'nonbinary', 'Kim Robin Luca Alex Jona'),
    ('it', 'nonbinary', 'Andrea Alex Sole Celeste')
) AS v (lang, gender, names);
ALTER TABLE person ADD COLUMN name text;
UPDATE person SET name = pg_temp.pick(names, pg_temp.u('name', i)) FROM first_name AS f WHERE f.lang = person.lang AND f.gender = person.gender;

INSERT INTO auth.users (id, email, raw_app_meta_data, raw_user_meta_data, is_anonymous, email_confirmed_at, last_sign_in_at, created_at, updated_at)
SELECT id, CASE WHEN NOT guest THEN lower(translate(name, 'éèïòÉ', 'eeioe')) || '.' || lpad(i::text, 4, '0') || '@example.com' END,
    CASE WHEN guest THEN '{}' ELSE jsonb_build_object('provider', provider, 'providers', jsonb_build_array(provider)) END,
    jsonb_build_object('display_name', name, 'locale', lang), guest,
    CASE WHEN NOT guest THEN least(now(), joined_at + pg_temp.u('confirms', i) * interval '10 minutes') END,
    active_at - (active_at - joined_at) * 0.1 * pg_temp.u('signs in', i), joined_at, active_at
FROM (
    SELECT *, pg_temp.u('guest', i) < 0.01 AS guest, pg_temp.pick(ARRAY['email', 'email', 'google', 'apple'], pg_temp.u('provider', i)) AS provider,
        greatest(joined_at, pg_temp.at(1 - (1 - joins) * power(pg_temp.u('active', i), 4))) AS active_at
    FROM person
) AS p ORDER BY i;

INSERT INTO public.users (id, display_name, birth_year, gender, bio, level, ride_styles, languages, region, is_active, is_beta_tester,
    last_active_at, created_at)
SELECT p.id, name, extract(year FROM now()) - 19 - floor(abs(pg_temp.z('age', i)) * 9), gender,
    CASE WHEN pg_temp.u('has bio', i) < 0.7 THEN pg_temp.pick(CASE lang
        WHEN 'fr' THEN ARRAY['Toujours partant pour la première benne.', 'Freeride le matin, fondue le soir.', 'Je cherche une crew pour la saison.',
            'Débutante assumée, chocolat chaud obligatoire.', 'Splitboard et couchers de soleil.', 'Raquettes, rando, et un peu de piste.']
        WHEN 'de' THEN ARRAY['Immer für Neuschnee zu haben.', 'Tourengehen vor der Arbeit.', 'Suche nette Leute fürs Wochenende.',
            'Pulver, Park, Pizza.', 'Seit ich drei bin auf den Ski.', 'Lieber Sonnenterrasse als Eisplatte.']
        ELSE ARRAY['Sempre pronto per la neve fresca.', 'Sci la mattina, polenta a pranzo.', 'Cerco compagnia per il weekend.', 'Snowboard e spritz.']
    END, pg_temp.u('bio', i)) END,
    pg_temp.pick(ARRAY['beginner', 'beginner', 'intermediate', 'intermediate', 'intermediate', 'intermediate', 'advanced', 'advanced',
        'advanced', 'expert'], pg_temp.u('level', i)),
    CASE WHEN pg_temp.u('style', i) < 0.75 THEN ARRAY['piste'] ELSE '{}' END
        || CASE WHEN pg_temp.u('style 2', i) < 0.45 THEN ARRAY[pg_temp.pick(ARRAY['freeride', 'freeride', 'touring', 'park'], pg_temp.u('style 3', i))]
            ELSE '{}' END || CASE WHEN pg_temp.u('board', i) < 0.25 THEN ARRAY['snowboard'] ELSE '{}' END,
    ARRAY[lang] || CASE WHEN pg_temp.u('english', i) < 0.65 THEN ARRAY['en'] ELSE '{}' END
        || CASE WHEN region = 'CH' AND pg_temp.u('bilingual', i) < 0.3 THEN ARRAY[CASE lang WHEN 'fr' THEN 'de' ELSE 'fr' END] ELSE '{}' END,
    region, pg_temp.u('left', i) < 0.96, pg_temp.u('beta', i) < 0.04, account.updated_at, joined_at
FROM person AS p JOIN auth.users AS account ON account.id = p.id ORDER BY i;

INSERT INTO public.profile_photos (id, user_id, storage_path, position, is_main, moderation_status, created_at)
SELECT pg_temp.id('photo', i * 10 + k), id, id || '/' || substr(md5('photo' || i * 10 + k), 1, 12) || '.webp', k, k = 1,
    CASE WHEN pg_temp.u('moderation', i * 10 + k) < 0.95 THEN 'approved' WHEN pg_temp.u('moderation', i * 10 + k) < 0.975 THEN 'rejected' ELSE 'pending' END,
    CASE k WHEN 1 THEN least(now(), joined_at + interval '5 minutes') ELSE pg_temp.at(joins + (1 - joins) * power(pg_temp.u('uploaded', i * 10 + k), 3)) END
FROM person, generate_series(1, ceil(5 * pg_temp.u('photos', i))::integer) AS k ORDER BY i, k;

INSERT INTO public.consents (id, user_id, purpose, granted_at, revoked_at)
SELECT pg_temp.id('consent', i * 10 + k), id, purpose, joined_at,
    CASE WHEN k > 1 AND pg_temp.u('revokes', i * 10 + k) < 0.04 THEN joined_at + (now() - joined_at) * pg_temp.u('revoked', i * 10 + k) END
FROM person, (VALUES (1, 'terms', 1), (2, 'location', 0.8), (3, 'push', 0.7), (4, 'analytics', 0.6), (5, 'marketing', 0.35)) AS v (k, purpose, share)
WHERE pg_temp.u('consents', i * 10 + k) < share ORDER BY i, k;

-- Stays: up to two a user, each at another station of the region.
INSERT INTO public.user_station_status (id, user_id, station_id, date_from, date_to, radius_km, created_at)
SELECT pg_temp.id('stay', n), user_id, station_id, date_from, date_from + floor(7 * pg_temp.u('stays', n))::integer,
    (ARRAY[10, 25, 25, 50])[1 + floor(4 * pg_temp.u('radius', n))::integer], created_at
FROM (
    SELECT i * 10 + k AS n, id AS user_id, created_at, station_ids[1 + (floor(97 * pg_temp.u('goes', i))::integer + k) % cardinality(station_ids)] AS station_id,
        (created_at AT TIME ZONE 'UTC')::date + floor(35 * power(pg_temp.u('from', i * 10 + k), 2))::integer AS date_from
    FROM person JOIN area USING (region), generate_series(0, 1) AS k,
        LATERAL (SELECT pg_temp.at(1 - (1 - joins) * power(pg_temp.u('plans', i * 10 + k), 2)) AS created_at) AS planned
    WHERE pg_temp.u('travels', i * 10 + k) < 0.35
) AS stay ORDER BY n;

-- Pairs: 48,000 different ones of whom one likes the other, three quarters of them within a region. Every fourth likes back.
CREATE TEMP TABLE pair ON COMMIT DROP AS
SELECT n, a.id AS a_id, b.id AS b_id, a.region, CASE WHEN a.lang = b.lang AND a.lang <> 'it' THEN a.lang ELSE 'en' END AS lang, liked,
    CASE WHEN n % 4 = 0 THEN liked + (1 - liked) * power(pg_temp.u('likes back', n), 3) END AS matched
FROM (
    SELECT row_number() OVER (ORDER BY n) AS n, a, b
    FROM (
        SELECT DISTINCT ON (least(a, b), greatest(a, b)) n, a, b
        FROM (
            SELECT n, a, CASE WHEN pg_temp.u('local', n) < 0.7 THEN b - b % 20 + a % 20 ELSE b END AS b
            FROM (SELECT n, pg_temp.somebody('liker', n) AS a, pg_temp.somebody('attractive', n) AS b FROM generate_series(1, 80000) AS n) AS drawn
        ) AS near
        WHERE a <> b
        ORDER BY least(a, b), greatest(a, b), n
    ) AS different
) AS numbered
JOIN person AS a ON a.i = a JOIN person AS b ON b.i = b,
LATERAL (SELECT greatest(a.joins, b.joins) + (1 - greatest(a.joins, b.joins)) * pg_temp.u('likes', n) AS liked) AS first_like
WHERE n <= 48000;
ANALYZE pair;
INSERT INTO public.likes (liker_id, liked_id, is_super, created_at)
SELECT liker, liked, pg_temp.u('super', n) < 0.04, starts + (x * 16384 - step) * lasts
FROM (
    SELECT n, a_id AS liker, b_id AS liked, liked AS x FROM pair
    UNION ALL SELECT -n, b_id, a_id, matched FROM pair WHERE matched IS NOT NULL
) AS given
JOIN clock ON step = floor(x * 16384)::integer ORDER BY x, n;
INSERT INTO public.matches (id, user1_id, user2_id, created_at)
SELECT pg_temp.id('match', n / 4), least(a_id, b_id), greatest(a_id, b_id), starts + (matched * 16384 - step) * lasts
FROM pair JOIN clock ON step = floor(matched * 16384)::integer ORDER BY n;

-- How many messages each match gets: none for a fifth, log-normal for the others, few for the newest, 200,000 in all. They come
-- in sessions, most of them soon after the match.
CREATE TEMP TABLE chat ON COMMIT DROP AS
SELECT *, ceil(messages::numeric / per_session)::integer AS sessions,
    (1 - matched) * least(0.99, 0.01 * messages / per_session + 0.5 * power(pg_temp.u('span', n), 3)) AS span
FROM (
    SELECT n / 4 AS n, pg_temp.id('match', n / 4) AS match_id, a_id, b_id, lang, region, matched, 4 + floor(9 * pg_temp.u('session', n)) AS per_session,
        sum(weight) OVER so_far * 200000 / sum(weight) OVER () - (sum(weight) OVER so_far - weight) * 200000 / sum(weight) OVER () AS messages
    FROM (
        SELECT *, (1000 * exp(1.2 * pg_temp.z('talkative', n)) * least(1, 15 * (1 - matched)))::bigint
            * (pg_temp.u('silent', n) >= 0.2)::integer::bigint AS weight
        FROM pair WHERE matched IS NOT NULL
    ) AS weighted
    WINDOW so_far AS (ORDER BY n)
) AS counted;
ANALYZE chat;
SELECT sum(messages), max(messages), avg(messages), sum((messages=0)::int) from chat;
ROLLBACK;
