-- Stations and users. The temporary tables place, area and person serve the files after this one.

-- Stations: approximate coordinates and altitudes.
CREATE TEMP TABLE place ON COMMIT DROP AS
SELECT row_number() OVER () AS n, (row_number() OVER (PARTITION BY country
    ORDER BY name COLLATE "C") - 1)::integer AS rank, *
FROM (VALUES
    ('Chamonix-Mont-Blanc', 'FR', 45.9237, 6.8694, 1035, 3842),
    ('Val Thorens', 'FR', 45.2980, 6.5800, 1800, 3230),
    ('Courchevel', 'FR', 45.4153, 6.6347, 1260, 2738),
    ('Méribel', 'FR', 45.3967, 6.5656, 1400, 2952),
    ('Les Menuires', 'FR', 45.3242, 6.5386, 1400, 2850),
    ('La Plagne', 'FR', 45.5067, 6.6775, 1250, 3080),
    ('Les Arcs', 'FR', 45.5725, 6.8289, 1200, 3226), ('Tignes', 'FR', 45.4683, 6.9056, 1550, 3456),
    ('Val-d''Isère', 'FR', 45.4481, 6.9803, 1785, 3456),
    ('Alpe d''Huez', 'FR', 45.0922, 6.0711, 1120, 3330),
    ('Les Deux Alpes', 'FR', 45.0089, 6.1222, 1300, 3568),
    ('Serre Chevalier', 'FR', 44.9456, 6.5586, 1200, 2800),
    ('Megève', 'FR', 45.8569, 6.6175, 1030, 2353),
    ('Saint-Gervais', 'FR', 45.8925, 6.7128, 860, 2525),
    ('Les Contamines-Montjoie', 'FR', 45.8208, 6.7275, 1164, 2487),
    ('La Clusaz', 'FR', 45.9044, 6.4236, 1040, 2600),
    ('Le Grand-Bornand', 'FR', 45.9417, 6.4278, 1000, 2100),
    ('Flaine', 'FR', 46.0050, 6.6894, 1600, 2500),
    ('Morzine', 'FR', 46.1792, 6.7089, 1000, 2466), ('Avoriaz', 'FR', 46.1911, 6.7753, 1800, 2466),
    ('Les Gets', 'FR', 46.1586, 6.6697, 1172, 2002), ('Châtel', 'FR', 46.2656, 6.8408, 1200, 2200),
    ('Valloire', 'FR', 45.1656, 6.4289, 1430, 2600), ('Risoul', 'FR', 44.6236, 6.6342, 1850, 2750),
    ('Isola 2000', 'FR', 44.1856, 7.1547, 1840, 2610),
    ('La Rosière', 'FR', 45.6267, 6.8492, 1150, 2850),
    ('Zermatt', 'CH', 46.0207, 7.7491, 1620, 3883), ('Verbier', 'CH', 46.0961, 7.2286, 1500, 3330),
    ('St. Moritz', 'CH', 46.4908, 9.8355, 1720, 3303), ('Davos', 'CH', 46.8027, 9.8360, 1124, 2844),
    ('Saas-Fee', 'CH', 46.1081, 7.9275, 1800, 3600),
    ('Crans-Montana', 'CH', 46.3128, 7.4806, 1500, 2927),
    ('Grindelwald', 'CH', 46.6242, 8.0414, 943, 2500),
    ('Wengen', 'CH', 46.6083, 7.9222, 1274, 2320),
    ('Mürren', 'CH', 46.5592, 7.8925, 1650, 2970), ('Laax', 'CH', 46.8086, 9.2581, 1100, 3018),
    ('Andermatt', 'CH', 46.6356, 8.5939, 1444, 2961),
    ('Engelberg', 'CH', 46.8211, 8.4013, 1050, 3020),
    ('Arosa', 'CH', 46.7783, 9.6800, 1739, 2653),
    ('Lenzerheide', 'CH', 46.7278, 9.5578, 1229, 2865),
    ('Adelboden', 'CH', 46.4919, 7.5603, 1353, 2362), ('Gstaad', 'CH', 46.4750, 7.2861, 1050, 2151),
    ('Villars', 'CH', 46.2989, 7.0561, 1200, 2120), ('Nendaz', 'CH', 46.1872, 7.3028, 1365, 3330),
    ('St. Anton am Arlberg', 'AT', 47.1275, 10.2636, 1304, 2811),
    ('Lech', 'AT', 47.2083, 10.1417, 1450, 2450),
    ('Ischgl', 'AT', 47.0125, 10.2919, 1377, 2872), ('Sölden', 'AT', 46.9656, 11.0075, 1350, 3340),
    ('Kitzbühel', 'AT', 47.4464, 12.3920, 800, 2000),
    ('Mayrhofen', 'AT', 47.1667, 11.8667, 630, 2500),
    ('Saalbach', 'AT', 47.3914, 12.6364, 1003, 2096),
    ('Obergurgl', 'AT', 46.8700, 11.0272, 1793, 3080),
    ('Zell am See', 'AT', 47.3236, 12.7969, 757, 2000),
    ('Schladming', 'AT', 47.3942, 13.6872, 745, 2015),
    ('Cortina d''Ampezzo', 'IT', 46.5369, 12.1392, 1224, 2930),
    ('Cervinia', 'IT', 45.9336, 7.6294, 2050, 3480),
    ('Courmayeur', 'IT', 45.7967, 6.9689, 1224, 2755),
    ('Livigno', 'IT', 46.5386, 10.1356, 1816, 2798),
    ('Madonna di Campiglio', 'IT', 46.2297, 10.8267, 1520, 2500),
    ('Sestriere', 'IT', 44.9583, 6.8792, 1840, 2823)
) AS stations (name, country, latitude, longitude, base_m, summit_m);
INSERT INTO public.stations (id, slug, name, country, latitude, longitude, base_m, summit_m)
SELECT pg_temp.id('station', n), regexp_replace(lower(translate(name, 'éèêâöü', 'eeeaou')),
    '[^a-z0-9]+', '-', 'g'),
    name, country, latitude, longitude, base_m, summit_m
FROM place ORDER BY n;
CREATE TEMP TABLE area ON COMMIT DROP AS
SELECT country AS region, array_agg(pg_temp.id('station', n) ORDER BY rank) AS station_ids,
    array_agg(name ORDER BY rank) AS names
FROM place GROUP BY country;

-- Users. The number i decides the region, so that likes can stay within a region. joins is the
-- position on the clock of the sign-up; 0 for the 60 % who signed up in the year before the clock
-- starts.
CREATE TEMP TABLE person ON COMMIT DROP AS
WITH drawn AS (
    SELECT i, pg_temp.id('user', i) AS id,
        (ARRAY['FR', 'CH', 'FR', 'AT', 'FR', 'CH', 'FR', 'IT', 'FR', 'CH', 'FR', 'AT', 'CH', 'FR',
            'CH', 'FR', 'IT', 'CH', 'AT', 'FR'])
            [1 + i % 20] AS region,
        CASE WHEN pg_temp.u('gender', i) < 0.46 THEN 'woman' WHEN pg_temp.u('gender', i) < 0.97
            THEN 'man' ELSE 'nonbinary' END AS gender,
        greatest(0, (pg_temp.u('joins', i) - 0.6) / 0.4) AS joins
    FROM generate_series(0, 4999) AS i
)
SELECT drawn.*,
    CASE
        WHEN region = 'CH' AND pg_temp.u('romand', i) < 0.35 THEN 'fr'
        WHEN region IN ('CH', 'AT') THEN 'de'
        ELSE lower(region)
    END AS lang,
    -- The clock is 13 weeks long, so multiples of it keep hours and weekdays.
    pg_temp.at(CASE WHEN joins > 0 THEN joins ELSE pg_temp.u('joined', i) END)
        - CASE WHEN joins > 0 THEN 0 ELSE ceil(4 * pg_temp.u('earlier', i)) END * interval '91 days'
            AS joined_at
FROM drawn;
ALTER TABLE person ADD PRIMARY KEY (i);
ANALYZE person;

CREATE TEMP TABLE first_name ON COMMIT DROP AS
SELECT lang, gender, string_to_array(names, ' ') AS names FROM (VALUES
    ('fr', 'woman', 'Léa Camille Manon Chloé Inès Jade Louise Zoé Clara Emma Juliette Anaïs '
        'Margaux Élodie Pauline Mathilde Lucie'),
    ('fr', 'man', 'Lucas Hugo Théo Louis Gabriel Maxime Antoine Julien Nicolas Thomas '
        'Baptiste Clément Romain Quentin Adrien'),
    ('de', 'woman', 'Anna Lena Laura Sarah Lea Julia Nina Katharina Magdalena Johanna '
        'Sophie Theresa Eva Carina Selina Ladina'),
    ('de', 'man', 'Lukas Noah Elias Jonas David Simon Fabian Tobias Florian Stefan Matthias '
        'Dominik Andreas Reto Urs Beat Gian'),
    ('it', 'woman', 'Giulia Martina Chiara Sofia Francesca Alessia Elisa Federica Valentina '
        'Beatrice Elena Arianna Giorgia Silvia'),
    ('it', 'man', 'Matteo Lorenzo Alessandro Andrea Davide Federico Luca Marco Simone '
        'Riccardo Tommaso Edoardo Pietro Nicolò'),
    ('fr', 'nonbinary', 'Alix Charlie Sacha Camille Maé'),
    ('de', 'nonbinary', 'Kim Robin Luca Alex Jona'),
    ('it', 'nonbinary', 'Andrea Alex Sole Celeste')
) AS v (lang, gender, names);
ALTER TABLE person ADD COLUMN name text;
UPDATE person SET name = pg_temp.pick(names, pg_temp.u('name', i))
FROM first_name WHERE first_name.lang = person.lang AND first_name.gender = person.gender;

-- One user in a hundred is an anonymous sign-in without address. Most users were active recently.
INSERT INTO auth.users (id, email, raw_app_meta_data, raw_user_meta_data, is_anonymous,
    email_confirmed_at, last_sign_in_at,
    created_at, updated_at)
SELECT
    id,
    CASE WHEN NOT guest THEN lower(translate(name, 'éèïòÉ', 'eeioe')) || '.' ||
        lpad(i::text, 4, '0') || '@example.com' END,
    CASE WHEN guest THEN '{}' ELSE
        jsonb_build_object('provider', provider, 'providers', jsonb_build_array(provider)) END,
    jsonb_build_object('display_name', name, 'locale', lang),
    guest,
    CASE WHEN NOT guest
        THEN least(now(), joined_at + pg_temp.u('confirms', i) * interval '10 minutes') END,
    active_at - (active_at - joined_at) * 0.1 * pg_temp.u('signs in', i),
    joined_at,
    active_at
FROM (
    SELECT *,
        pg_temp.u('guest', i) < 0.01 AS guest,
        pg_temp.pick(ARRAY['email', 'email', 'google', 'apple'], pg_temp.u('provider', i))
            AS provider,
        greatest(joined_at, pg_temp.at(1 - (1 - joins) * power(pg_temp.u('active', i), 4)))
            AS active_at
    FROM person
) AS account
ORDER BY i;

CREATE TEMP TABLE self_description ON COMMIT DROP AS
SELECT * FROM (VALUES
    ('fr', ARRAY['Toujours partant pour la première benne.', 'Freeride le matin, fondue le soir.',
        'Je cherche une crew pour la saison.',
        'Niveau chasse-neige assumé, chocolat chaud obligatoire.',
        'Splitboard et couchers de soleil.', 'Peaux de phoque avant le boulot.']),
    ('de', ARRAY['Immer für Neuschnee zu haben.', 'Tourengehen vor der Arbeit.',
        'Suche nette Leute fürs Wochenende.', 'Pulver, Park, Pizza.',
        'Seit ich drei bin auf den Ski.', 'Lieber Sonnenterrasse als Eisplatte.']),
    ('it', ARRAY['Sempre pronto per la neve fresca.', 'Sci la mattina, polenta a pranzo.',
        'Cerco compagnia per il weekend.', 'Snowboard e spritz.', 'Prima funivia o niente.'])
) AS v (lang, bios);

INSERT INTO public.users (id, display_name, birth_year, gender, bio, level, ride_styles, languages,
    region, is_active,
    is_beta_tester, last_active_at, created_at)
SELECT
    person.id,
    name,
    -- A constant year, so that loads in different years agree.
    2006 - floor(abs(pg_temp.z('age', i)) * 9),
    gender,
    CASE WHEN pg_temp.u('has bio', i) < 0.7 THEN pg_temp.pick(bios, pg_temp.u('bio', i)) END,
    (ARRAY['beginner', 'intermediate', 'advanced', 'expert'])[width_bucket(pg_temp.u('level', i),
        ARRAY[0, 0.2, 0.6, 0.9])],
    CASE WHEN pg_temp.u('piste', i) < 0.75 THEN ARRAY['piste'] ELSE '{}' END
        || CASE WHEN pg_temp.u('beyond', i) < 0.45
            THEN ARRAY[pg_temp.pick(ARRAY['freeride', 'freeride', 'touring', 'park'],
                pg_temp.u('style', i))] ELSE '{}' END
        || CASE WHEN pg_temp.u('board', i) < 0.25 THEN ARRAY['snowboard'] ELSE '{}' END,
    ARRAY[lang]
        || CASE WHEN pg_temp.u('english', i) < 0.65 THEN ARRAY['en'] ELSE '{}' END
        || CASE WHEN region = 'CH' AND pg_temp.u('bilingual', i) < 0.3
            THEN ARRAY[CASE lang WHEN 'fr' THEN 'de' ELSE 'fr' END] ELSE '{}' END,
    region,
    pg_temp.u('left', i) < 0.96,
    pg_temp.u('beta', i) < 0.04,
    account.updated_at,
    joined_at
FROM person
JOIN auth.users AS account ON account.id = person.id
JOIN self_description USING (lang)
ORDER BY i;

INSERT INTO public.profile_photos (id, user_id, storage_path, position, is_main, moderation_status,
    created_at)
SELECT
    pg_temp.id('photo', n),
    id,
    id || '/' || substr(md5('photo' || n), 1, 12) || '.webp',
    k,
    k = 1,
    CASE WHEN pg_temp.u('verdict', n) < 0.95 THEN 'approved' WHEN pg_temp.u('verdict', n) < 0.975
        THEN 'rejected' ELSE 'pending' END,
    CASE k
        WHEN 1 THEN least(now(), joined_at + interval '5 minutes')
        ELSE pg_temp.at(joins + (1 - joins) * power(pg_temp.u('uploaded', n), 3))
    END
FROM person, generate_series(1, ceil(5 * pg_temp.u('photos', i))::integer) AS k,
    LATERAL (SELECT i * 10 + k AS n) AS photo
ORDER BY n;

INSERT INTO public.consents (id, user_id, purpose, granted_at, revoked_at)
SELECT
    pg_temp.id('consent', n),
    id,
    purpose,
    joined_at,
    CASE WHEN k > 1 AND pg_temp.u('revokes', n) < 0.04
        THEN joined_at + (now() - joined_at) * pg_temp.u('revoked', n) END
FROM person, (VALUES
    (1, 'terms', 1), (2, 'location', 0.8), (3, 'push', 0.7), (4, 'analytics', 0.6),
    (5, 'marketing', 0.35)
) AS v (k, purpose, share), LATERAL (SELECT i * 10 + k AS n) AS consent
WHERE pg_temp.u('consents', n) < share
ORDER BY n;
