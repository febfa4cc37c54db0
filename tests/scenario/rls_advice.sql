-- Tables whose policies leak in ways that advice may make worse. Seven accounts exist; 1 and 2 are
-- in one team. Each table has the columns id, user_id, note and touched, which the test writes.
CREATE TABLE public.teams (id integer PRIMARY KEY);
INSERT INTO public.teams VALUES (1), (2);
CREATE TABLE public.members (team_id integer REFERENCES public.teams,
    user_id uuid REFERENCES auth.users, PRIMARY KEY (team_id, user_id));
INSERT INTO public.members SELECT 1 + n / 3, ('00000000-0000-4000-8000-00000000000' || n)::uuid
    FROM generate_series(1, 4) AS n;
ALTER TABLE public.teams ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.members ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.members FOR SELECT TO authenticated
    USING (user_id = (SELECT auth.uid()));
GRANT SELECT ON public.members TO authenticated;

CREATE TABLE public.template (id serial PRIMARY KEY, user_id uuid, note text, touched boolean);

-- The folder of a file names its owner; a column does, too.
CREATE TABLE public.files (LIKE public.template INCLUDING ALL, bucket text, path text,
    FOREIGN KEY (user_id) REFERENCES auth.users);
CREATE POLICY own ON public.files TO authenticated
    USING (bucket = 'exports' AND split_part(path, '/', 1) = (SELECT auth.uid())::text);
INSERT INTO public.files (user_id, bucket, path) SELECT id, 'exports', id || '/a' FROM auth.users;

-- The status that USING demands is also demanded of the new row.
CREATE TABLE public.leave_days (LIKE public.template INCLUDING ALL, deputy uuid,
    status text DEFAULT 'pending', FOREIGN KEY (user_id) REFERENCES auth.users);
CREATE POLICY see ON public.leave_days FOR SELECT TO authenticated USING (user_id = auth.uid());
CREATE POLICY change ON public.leave_days FOR UPDATE TO authenticated
    USING ((user_id = auth.uid() OR deputy = auth.uid()) AND status = 'pending');
INSERT INTO public.leave_days (user_id, deputy) SELECT id, id FROM auth.users;

-- A team works on its rows through the policy that leaks.
CREATE TABLE public.team_tasks (LIKE public.template INCLUDING ALL, team_id integer,
    FOREIGN KEY (user_id) REFERENCES auth.users, FOREIGN KEY (team_id) REFERENCES public.teams);
CREATE POLICY "All see" ON public.team_tasks FOR SELECT TO authenticated USING (true);
INSERT INTO public.team_tasks (user_id, team_id) SELECT m.user_id, m.team_id
    FROM public.members AS m;

-- Messages of shared chats are readable, and chats can be shared.
CREATE TABLE public.talks (LIKE public.template INCLUDING ALL, sharing text DEFAULT 'private',
    FOREIGN KEY (user_id) REFERENCES auth.users);
CREATE TABLE public.talk_lines (LIKE public.template INCLUDING ALL, talk_id integer,
    FOREIGN KEY (user_id) REFERENCES auth.users, FOREIGN KEY (talk_id) REFERENCES public.talks);
CREATE POLICY own ON public.talks USING (user_id = auth.uid());
CREATE POLICY own ON public.talk_lines USING (user_id = auth.uid());
CREATE POLICY shared ON public.talks FOR SELECT USING (sharing <> 'private');
CREATE POLICY shared ON public.talk_lines FOR SELECT
    USING (talk_id IN (SELECT id FROM public.talks WHERE sharing <> 'private'));
INSERT INTO public.talks (user_id, sharing)
    SELECT id, CASE WHEN row_number() OVER (ORDER BY id) = 3 THEN 'link' ELSE 'private' END
    FROM auth.users;
INSERT INTO public.talk_lines (user_id, talk_id) SELECT user_id, id FROM public.talks;

-- Two policies let the same rows through; a third is narrow; a restrictive one is kept.
CREATE TABLE public.diaries (LIKE public.template INCLUDING ALL,
    FOREIGN KEY (user_id) REFERENCES auth.users);
CREATE POLICY one ON public.diaries FOR SELECT TO authenticated USING (note IS NULL OR id > 0);
CREATE POLICY two ON public.diaries FOR SELECT TO authenticated USING (auth.uid() IS NOT NULL);
CREATE POLICY own ON public.diaries TO authenticated
    USING (user_id = auth.uid()) WITH CHECK (user_id = auth.uid() AND note IS NULL);
CREATE POLICY live ON public.diaries AS RESTRICTIVE USING (touched IS NOT TRUE);
INSERT INTO public.diaries (user_id) SELECT id FROM auth.users;

-- FOR ALL without a check, with a sub-query.
CREATE TABLE public.switches (id integer PRIMARY KEY, is_on boolean);
INSERT INTO public.switches VALUES (1, true);
CREATE TABLE public.offers (LIKE public.template INCLUDING ALL,
    FOREIGN KEY (user_id) REFERENCES auth.users);
CREATE POLICY "While it is on" ON public.offers TO authenticated
    USING (EXISTS (SELECT FROM public.switches AS s WHERE s.is_on) OR user_id = auth.uid());
INSERT INTO public.offers (user_id) SELECT id FROM auth.users;
ALTER TABLE public.switches ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON public.switches FOR SELECT TO authenticated USING (true);
GRANT SELECT ON public.switches TO authenticated;

-- Rows of others can be taken over: only the new row is checked.
CREATE TABLE public.bikes (LIKE public.template INCLUDING ALL,
    FOREIGN KEY (user_id) REFERENCES auth.users);
CREATE POLICY see ON public.bikes FOR SELECT TO authenticated USING (user_id = auth.uid());
CREATE POLICY claim ON public.bikes FOR UPDATE TO authenticated
    USING (note IS DISTINCT FROM 'locked') WITH CHECK (user_id = auth.uid());
INSERT INTO public.bikes (user_id) SELECT id FROM auth.users;

-- The check forgets the owner.
CREATE TABLE public.reviews (LIKE public.template INCLUDING ALL,
    FOREIGN KEY (user_id) REFERENCES auth.users);
CREATE POLICY own ON public.reviews TO authenticated
    USING (user_id = auth.uid()) WITH CHECK (length(coalesce(note, '')) < 100);
INSERT INTO public.reviews (user_id) SELECT id FROM auth.users;

-- Fewer visible blocks mean more visible posts.
CREATE TABLE public.blocks (LIKE public.template INCLUDING ALL, blocked uuid,
    FOREIGN KEY (user_id) REFERENCES auth.users);
CREATE POLICY see ON public.blocks FOR SELECT TO authenticated USING (true);
INSERT INTO public.blocks (user_id, blocked)
    SELECT '00000000-0000-4000-8000-000000000001', id FROM auth.users
    WHERE id > '00000000-0000-4000-8000-000000000004';
CREATE TABLE public.posts (LIKE public.template INCLUDING ALL,
    FOREIGN KEY (user_id) REFERENCES auth.users);
CREATE POLICY see ON public.posts FOR SELECT TO authenticated USING (NOT EXISTS (
    SELECT FROM public.blocks AS b WHERE b.user_id = posts.user_id AND b.blocked = auth.uid()));
INSERT INTO public.posts (user_id) SELECT id FROM auth.users;

-- A message has two owners.
CREATE TABLE public.letters (LIKE public.template INCLUDING ALL, receiver uuid,
    FOREIGN KEY (user_id) REFERENCES auth.users, FOREIGN KEY (receiver) REFERENCES auth.users);
CREATE POLICY signed ON public.letters TO authenticated USING (auth.uid() IS NOT NULL);
INSERT INTO public.letters (user_id, receiver)
    SELECT a.id, b.id FROM auth.users AS a JOIN auth.users AS b ON b.id > a.id
    WHERE b.id < '00000000-0000-4000-8000-000000000004';

-- Names that need quotes, and an owner column of type text.
CREATE TABLE public."Odd ""names""; --" (LIKE public.template INCLUDING ALL);
ALTER TABLE public."Odd ""names""; --" ALTER user_id TYPE text;
CREATE POLICY "p""q) USING (true); --" ON public."Odd ""names""; --" TO authenticated
    USING (user_id = (SELECT auth.uid())::text OR note IS NULL OR note = ''') USING (');
INSERT INTO public."Odd ""names""; --" (user_id) SELECT id FROM auth.users;

-- Nobody owns the rows.
CREATE TABLE public.contacts (LIKE public.template INCLUDING ALL);
ALTER TABLE public.contacts DROP user_id;
CREATE POLICY send ON public.contacts FOR INSERT TO anon WITH CHECK (true);
CREATE TABLE public.pages (LIKE public.template INCLUDING ALL);
ALTER TABLE public.pages DROP user_id;
CREATE POLICY everything ON public.pages USING (true);
INSERT INTO public.pages (note) VALUES ('a');

-- Rows without an owner are for all. The server would refuse NOT NULL on one of the tables.
CREATE TABLE public.recipes (LIKE public.template INCLUDING ALL);
CREATE TABLE public.menus (LIKE public.template INCLUDING ALL);
CREATE POLICY starter ON public.recipes USING (user_id = auth.uid() OR user_id IS NULL);
CREATE POLICY starter ON public.menus USING (user_id = auth.uid() OR user_id IS NULL);
INSERT INTO public.recipes (user_id) SELECT id FROM auth.users UNION ALL SELECT NULL;
INSERT INTO public.menus (user_id) SELECT id FROM auth.users;

-- Row-level security is off.
CREATE TABLE public.logins (LIKE public.template INCLUDING ALL,
    FOREIGN KEY (user_id) REFERENCES auth.users);
INSERT INTO public.logins (user_id) SELECT id FROM auth.users;
CREATE TABLE public.mutes (LIKE public.template INCLUDING ALL, muted uuid,
    FOREIGN KEY (user_id) REFERENCES auth.users);
INSERT INTO public.mutes (user_id, muted)
    SELECT '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000005';
CREATE TABLE public.songs (LIKE public.template INCLUDING ALL,
    FOREIGN KEY (user_id) REFERENCES auth.users);
CREATE POLICY see ON public.songs FOR SELECT TO authenticated USING (NOT EXISTS (
    SELECT FROM public.mutes AS m WHERE m.user_id = songs.user_id AND m.muted = auth.uid()));
INSERT INTO public.songs (user_id) SELECT id FROM auth.users;

DO $$ DECLARE t regclass; BEGIN
    FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND relkind = 'r' AND relname NOT IN ('teams', 'members', 'switches', 'template') LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO anon, authenticated', t);
        IF t::text NOT IN ('logins', 'mutes') THEN
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
        END IF;
    END LOOP;
END $$;
DROP TABLE public.template CASCADE;

-- The audited tables with their owner columns.
CREATE FUNCTION truth.tables() RETURNS TABLE (name regclass, owners text[]) LANGUAGE sql AS $$
    SELECT c.oid::regclass,
        ARRAY(
            SELECT a.attname::text
            FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attname = 'user_id'
        )
    FROM pg_class AS c
    JOIN pg_attribute AS t ON t.attrelid = c.oid AND t.attname = 'touched'
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
$$;

-- The reach that the user of each row must keep: user, table, command and row.
CREATE FUNCTION truth.own(p_table regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT format(''%%s %%s %%s %%s'', t.user_id, %1$L::regclass, c.command, t.id)
        FROM %1$s AS t, unnest(''{SELECT,UPDATE,DELETE}''::text[]) AS c (command)', p_table);
END $$;
