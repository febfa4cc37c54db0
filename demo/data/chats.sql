-- Likes, matches, messages, and daily_usage derived from them.

-- Pairs: 48,000 different pairs in which one user likes the other, most of them of one region.
-- liked and matched are positions on the clock. Both users have signed up before the like. Every
-- fourth likes back, mostly within hours.
CREATE TEMP TABLE pair ON COMMIT DROP AS
SELECT n, a.id AS a_id, b.id AS b_id, a.region,
    CASE WHEN a.lang = b.lang AND a.lang <> 'it' THEN a.lang ELSE 'en' END AS lang, liked,
    CASE WHEN n % 4 = 0 THEN liked + least(0.2, 1 - liked) *
        power(pg_temp.u('likes back', n), 8) END AS matched
FROM (
    SELECT row_number() OVER (ORDER BY n) AS n, a, b, liked
    FROM (
        SELECT DISTINCT ON (least(a, b), greatest(a, b)) n, a, b, liked
        FROM (
            SELECT n, a, CASE WHEN pg_temp.u('local', n) < 0.7 THEN b - b % 20 + a % 20
                ELSE b END AS b, liked
            FROM generate_series(1, 110000) AS n, LATERAL (
                SELECT pg_temp.draw_user('liker', n) AS a, pg_temp.draw_user('attractive', n) AS b,
                    pg_temp.u('likes', n) AS liked
            ) AS drawn
        ) AS near
        JOIN person AS liker ON liker.i = a
        JOIN person AS liked_one ON liked_one.i = b
        -- 0.012 omits the first day of the clock, which is the 91st before now.
        WHERE a <> b AND liked > greatest(liker.joins, liked_one.joins, 0.012)
        ORDER BY least(a, b), greatest(a, b), n
    ) AS different
) AS numbered
JOIN person AS a ON a.i = a
JOIN person AS b ON b.i = b
WHERE n <= 48000;
ANALYZE pair;

INSERT INTO public.likes (liker_id, liked_id, is_super, created_at)
SELECT liker, liked, pg_temp.u('super', n) < 0.04, starts + (x * 16384 - step) * lasts
FROM (
    SELECT n, a_id AS liker, b_id AS liked, liked AS x FROM pair
    UNION ALL
    SELECT -n, b_id, a_id, matched FROM pair WHERE matched IS NOT NULL
) AS given
JOIN clock ON step = floor(x * 16384)::integer
ORDER BY x, n;

INSERT INTO public.matches (id, user1_id, user2_id, created_at)
SELECT pg_temp.id('match', n / 4), least(a_id, b_id), greatest(a_id, b_id),
    starts + (matched * 16384 - step) * lasts
FROM pair
JOIN clock ON step = floor(matched * 16384)::integer
ORDER BY matched;

-- The number of messages of each match: none for a fifth, log-normal for the others, 200,000 in
-- all. A match that is still active has only its messages so far. Messages come in sessions, most
-- of them soon after the match. reach is the part of the clock from the first to the last session.
CREATE TEMP TABLE chat ON COMMIT DROP AS
SELECT *, ceil(messages::numeric / per_session)::integer AS sessions
FROM (
    SELECT n / 4 AS n, pg_temp.id('match', n / 4) AS match_id, a_id, b_id, lang, region, matched,
        least(span, 1 - matched) AS reach,
        4 + floor(9 * pg_temp.u('session', n))::integer AS per_session,
        (div(so_far * 200000, total) - div((so_far - weight) * 200000, total))::integer AS messages
    FROM (
        SELECT *, sum(weight) OVER (ORDER BY n) AS so_far, sum(weight) OVER () AS total
        FROM pair,
            LATERAL (SELECT exp(1.1 * pg_temp.z('talks', n)) AS talks) AS talkative,
            LATERAL (SELECT 0.01 * talks + 0.3 * power(pg_temp.u('span', n), 3) AS span) AS long,
            LATERAL (SELECT CASE WHEN pg_temp.u('silent', n) < 0.2 THEN 0
                ELSE round(1000 * talks *
                    power(least(1, (1 - matched) / span), 1 / 1.5)) END::bigint AS weight)
                AS weighted
        WHERE matched IS NOT NULL
    ) AS summed
) AS counted;
ANALYZE chat;

-- {s} stands for a station of the region, {d} for a day.
CREATE TEMP TABLE phrase ON COMMIT DROP AS
SELECT * FROM (VALUES
    ('fr', 'open', ARRAY['Salut ! Tu rides où ce week-end ?',
        'Hello, belle photo ! C''est à {s} ?', 'Coucou, on a matché 🎿', 'Salut, ski ou snow ?',
        'Hey ! Tu connais {s} ?', 'Bonjour, tu cherches une crew pour {d} ?',
        'Salut toi, dispo {d} ?', 'Hello ! Tu skies depuis longtemps ?']),
    ('fr', 'talk', ARRAY['Grave !', 'Ah trop bien', 'Oui, carrément', 'Pas encore, et toi ?',
        'Je suis plutôt freeride', 'Moi c''est piste et terrasse', 'J''ai cassé une carre hier 😅',
        'Il est tombé 30 cm cette nuit', 'La visi était nulle ce matin', 'Haha pareil',
        'Tu as un DVA ?', 'J''ai mon forfait saison', 'Je monte avec deux amis',
        'On se retrouve au pied des pistes ?', 'Parfait pour moi', 'Je te redis ce soir',
        'Désolé, j''étais en bas sans réseau', 'Tu fais du snow aussi ?',
        'Trop de monde au télésiège…', 'La neige est top en ce moment', 'J''adore ce coin',
        'C''était génial', 'Vivement la prochaine !', 'Ok ça marche',
        'Je suis en bleu, veste jaune', 'Après-ski ? 🍻', 'Fondue après ?', 'Bonne nuit !']),
    ('fr', 'plan', ARRAY['On fait {s} {d} ?', 'Je serai à {s} {d}',
        'Rdv 9 h à la télécabine de {s} ?', 'Je peux pas {d}, la semaine prochaine ?',
        'Je passe la semaine à {s}', 'Covoit'' pour {s} {d} ? J''ai deux places',
        'Ils annoncent du soleil {d}', 'Première benne {d} ?']),
    ('de', 'open', ARRAY['Hoi! Wo fährst du am Wochenende?', 'Hallo, cooles Foto! Ist das in {s}?',
        'Hey, Match! 🎿', 'Servus, Ski oder Board?', 'Hi! Kennst du {s}?',
        'Hallo, bist du {d} unterwegs?', 'Na, {d} schon was vor?', 'Hey! Fährst du schon lange?']),
    ('de', 'talk', ARRAY['Auf jeden Fall!', 'Ja, voll', 'Noch nicht, und du?',
        'Ich bin eher im Gelände', 'Lieber Piste und Sonne', 'Haha, gleich hier',
        'Gestern die Kante ruiniert 😅', 'Über Nacht 30 cm Neuschnee!', 'Die Sicht war heute mies',
        'Hast du ein LVS?', 'Hab die Saisonkarte', 'Ich komme mit zwei Freunden',
        'Treffen wir uns an der Talstation?', 'Passt für mich', 'Ich geb dir heute Abend Bescheid',
        'Sorry, kein Empfang oben', 'Fährst du auch Board?', 'So voll am Sessellift…',
        'Der Schnee ist grad super', 'Dort ist es wunderschön', 'War echt lässig', 'Bis bald!',
        'Ok, abgemacht', 'Ich habe eine gelbe Jacke an', 'Après-Ski? 🍻', 'Danach Käsespätzle?',
        'Gute Nacht!', 'Cool, freu mich']),
    ('de', 'plan', ARRAY['Gehen wir {d} nach {s}?', 'Ich bin {d} in {s}',
        'Um 9 an der Gondel in {s}?', 'Geht {d} leider nicht, nächste Woche?',
        'Ich bin die ganze Woche in {s}', 'Fahrgemeinschaft nach {s}? Hab zwei Plätze',
        'Soll {d} sonnig werden', 'Erste Gondel {d}?']),
    ('en', 'open', ARRAY['Hi! Where are you riding this weekend?', 'Great photo, is that {s}?',
        'Hey, we matched 🎿', 'Hi there, ski or snowboard?', 'Hey! Do you know {s}?',
        'Hello, looking for a crew {d}?', 'Hi, free {d}?',
        'Hello! Have you been skiing for long?']),
    ('en', 'talk', ARRAY['For sure!', 'Oh nice', 'Yes, totally', 'Not yet, you?',
        'Mostly freeride', 'More of a piste and terrace person', 'Same here haha',
        'Wrecked an edge yesterday 😅', '30 cm of fresh snow last night',
        'Visibility was awful today', 'Do you have a beacon?', 'Got my season pass',
        'Coming with two friends', 'Meet at the bottom?', 'Works for me', 'Will tell you tonight',
        'Sorry, no signal up there', 'Do you snowboard too?', 'Such a queue at the chairlift…',
        'Snow is amazing right now', 'Love that place', 'That was great', 'Can''t wait!',
        'Ok, deal', 'I''m the one in the yellow jacket', 'Après-ski? 🍻', 'Fondue afterwards?',
        'Good night!']),
    ('en', 'plan', ARRAY['Shall we go to {s} {d}?', 'I''ll be in {s} {d}',
        '9 at the gondola in {s}?', 'Can''t do {d}, the week after?', 'I''m in {s} all week',
        'Car share to {s}? Two seats left', 'Sunny {d}, they say', 'First lift {d}?'])
) AS v (lang, kind, choices);
CREATE TEMP TABLE days ON COMMIT DROP AS
SELECT * FROM (VALUES
    ('fr', ARRAY['samedi', 'samedi', 'dimanche', 'vendredi', 'demain', 'mercredi']),
    ('de', ARRAY['am Samstag', 'am Samstag', 'am Sonntag', 'am Freitag', 'morgen', 'am Mittwoch']),
    ('en', ARRAY['on Saturday', 'on Saturday', 'on Sunday', 'on Friday', 'tomorrow', 'next week'])
) AS v (lang, days);

-- Within a session, messages follow at about the same pace. The pace is quicker if the session
-- would otherwise end after now.
CREATE TEMP TABLE session ON COMMIT DROP AS
SELECT n, match_id, a_id, b_id, lang, region, first, messages, begins,
    least(interval '1 second' * (20 + 160 * pg_temp.u('pace', n * 1000 + session)),
        (now() - begins) / (messages + 1)) AS pace
FROM (
    SELECT n, match_id, a_id, b_id, lang, region, session, session * per_session AS first,
        least(per_session, messages - session * per_session) AS messages,
            starts + (x * 16384 - step) * lasts AS begins
    FROM chat,
        generate_series(0, sessions - 1) AS session,
        LATERAL (SELECT matched + reach *
            power((session + pg_temp.u('meets', n * 1000 + session)) / sessions, 1.5) AS x)
            AS position
    JOIN clock ON step = floor(x * 16384)::integer
) AS met;
ANALYZE session;

-- The two users mostly alternate. OFFSET 0 makes the planner evaluate expressions once instead of
-- at each use.
INSERT INTO public.messages (id, match_id, sender_id, content, created_at, read_at)
SELECT
    pg_temp.id('message', n),
    match_id,
    CASE WHEN (n + floor(1.35 * pg_temp.u('turn', n))::integer) % 2 = 0 THEN a_id ELSE b_id END,
    CASE WHEN content LIKE '%{%'
        THEN replace(replace(content, '{s}', pg_temp.pick(names, pg_temp.u('at', n))),
            '{d}', pg_temp.pick(days, pg_temp.u('on', n)))
        ELSE content
    END,
    sent_at,
    CASE WHEN pg_temp.u('reads', n) < 0.93 AND read_at < now() THEN read_at END
FROM (
    SELECT message.*, pg_temp.pick(choices, pg_temp.u('says', n)) AS content, days, names,
        sent_at + exp(4 + 1.6 * pg_temp.z('reads after', n)) * interval '1 second' AS read_at
    FROM (
        SELECT n * 10000 + first + place AS n, match_id, a_id, b_id, lang, region,
            begins + pace * (place + 0.9 * pg_temp.u('types', n * 10000 + first + place))
                AS sent_at,
            CASE WHEN first + place = 0 THEN 'open'
                WHEN pg_temp.u('kind', n * 10000 + first + place) < 0.2 THEN 'plan'
                ELSE 'talk' END AS kind
        FROM session, generate_series(0, messages - 1) AS place
        OFFSET 0
    ) AS message
    JOIN phrase USING (lang, kind)
    JOIN days USING (lang)
    JOIN area USING (region)
    OFFSET 0
) AS written
ORDER BY sent_at, n;

-- One match in sixteen has ended, some time after its last message.
UPDATE public.matches
SET unmatched_at = last_at + (now() - last_at) * pg_temp.u('parts', n)
FROM (
    SELECT n, match_id,
        greatest(matches.created_at, (SELECT max(created_at) FROM public.messages
            WHERE messages.match_id = chat.match_id)) AS last_at
    FROM chat JOIN public.matches ON matches.id = match_id
    WHERE pg_temp.u('stays', n) < 0.0625
) AS over
WHERE matches.id = match_id;

UPDATE public.users SET last_active_at = wrote.last_at
FROM (SELECT sender_id, max(created_at) AS last_at FROM public.messages GROUP BY sender_id) AS wrote
WHERE users.id = sender_id AND last_active_at < wrote.last_at;

INSERT INTO public.daily_usage (user_id, usage_date, likes_sent, messages_sent)
SELECT user_id, (at AT TIME ZONE 'UTC')::date, sum(liked), sum(sent)
FROM (
    SELECT liker_id AS user_id, created_at AS at, 1 AS liked, 0 AS sent FROM public.likes
    UNION ALL
    SELECT sender_id, created_at, 0, 1 FROM public.messages
) AS used
GROUP BY 1, 2
ORDER BY 2, 1;
