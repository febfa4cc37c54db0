-- CrewSnow's own schema in its real shape: public.users.id is the user id by policy alone, and the
-- other tables reference public.users. No table references auth.users. Comments mark the cells that
-- are open on purpose.
CREATE TABLE public.users (id uuid PRIMARY KEY, display_name text);
CREATE TABLE public.stations (id integer PRIMARY KEY, name text);
CREATE TABLE public.user_station_status (id serial PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES public.users, station_id integer REFERENCES public.stations);
CREATE TABLE public.likes (liker_id uuid NOT NULL REFERENCES public.users,
    liked_id uuid NOT NULL REFERENCES public.users, is_super boolean,
    PRIMARY KEY (liker_id, liked_id));
CREATE TABLE public.matches (id serial PRIMARY KEY,
    user1_id uuid NOT NULL REFERENCES public.users, user2_id uuid NOT NULL REFERENCES public.users,
    ended_at timestamptz);
CREATE TABLE public.messages (id serial PRIMARY KEY, match_id integer REFERENCES public.matches,
    sender_id uuid NOT NULL REFERENCES public.users, content text);
CREATE TABLE public.groups (id serial PRIMARY KEY, name text,
    owner_id uuid NOT NULL REFERENCES public.users);
CREATE TABLE public.group_members (group_id integer REFERENCES public.groups,
    user_id uuid REFERENCES public.users, role text, PRIMARY KEY (group_id, user_id));
CREATE TABLE public.subscriptions (id serial PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES public.users, plan text);
CREATE TABLE public.sensitive_data (id serial PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES public.users, iban text);
CREATE TABLE public.preferences (user_id uuid PRIMARY KEY REFERENCES public.users, theme text);
CREATE TABLE public.preference_items (id serial PRIMARY KEY,
    preference_id uuid NOT NULL REFERENCES public.preferences, value text);
CREATE TABLE public.notifications (id serial PRIMARY KEY,
    recipient_id uuid NOT NULL REFERENCES public.users, is_read boolean);
CREATE TABLE public.consents (id serial PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES public.users, recorded_by uuid, updated_by uuid
        REFERENCES public.users, purpose text);

INSERT INTO public.users
SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'user ' || n
FROM generate_series(1, 4) AS n;
INSERT INTO public.stations VALUES (1, 'Zermatt'), (2, 'Chamonix');
INSERT INTO public.user_station_status (user_id, station_id) SELECT id, 1 FROM public.users;
INSERT INTO public.preferences SELECT id, 'dark' FROM public.users;
INSERT INTO public.preference_items (preference_id, value) SELECT id, 'x' FROM public.users;
INSERT INTO public.subscriptions (user_id, plan) SELECT id, 'premium' FROM public.users;
INSERT INTO public.sensitive_data (user_id, iban) SELECT id, 'CH00' FROM public.users;
INSERT INTO public.notifications (recipient_id, is_read) SELECT id, false FROM public.users;
INSERT INTO public.consents (user_id, updated_by, purpose)
SELECT u.id, '00000000-0000-4000-8000-000000000004', 'mail' FROM public.users AS u;
INSERT INTO public.likes
SELECT one.id, other.id, false FROM public.users AS one
JOIN public.users AS other ON other.id > one.id;
-- Users 1 and 2 have a match, and 3 and 4.
INSERT INTO public.matches (user1_id, user2_id)
SELECT ('00000000-0000-4000-8000-00000000000' || a)::uuid,
    ('00000000-0000-4000-8000-00000000000' || b)::uuid
FROM (VALUES (1, 2), (3, 4)) AS m (a, b);
INSERT INTO public.messages (match_id, sender_id, content)
SELECT m.id, u.id, 'hello' FROM public.matches AS m
JOIN public.users AS u ON u.id IN (m.user1_id, m.user2_id);
INSERT INTO public.groups (name, owner_id) SELECT 'group', id FROM public.users;
INSERT INTO public.group_members SELECT id, owner_id, 'owner' FROM public.groups;
INSERT INTO public.group_members
SELECT 1, '00000000-0000-4000-8000-000000000003', 'member';

DO $$ DECLARE t text; BEGIN
    FOR t IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND relkind = 'r' AND relname IN ('users', 'stations', 'user_station_status', 'likes',
            'matches', 'messages', 'groups', 'group_members', 'subscriptions', 'sensitive_data',
            'preferences', 'preference_items', 'notifications', 'consents')
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO anon, authenticated', t);
        IF t <> 'sensitive_data' THEN
            EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', t);
        END IF;
    END LOOP;
END $$;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO anon, authenticated;

CREATE POLICY own ON public.users USING (auth.uid() = id);
CREATE POLICY all_read ON public.stations FOR SELECT USING (true);
CREATE POLICY own ON public.user_station_status TO authenticated
    USING (user_id = (SELECT auth.uid()));
CREATE POLICY given ON public.likes FOR SELECT TO authenticated
    USING ((SELECT auth.uid()) IN (liker_id, liked_id));
-- Open: anyone writes likes in other users' names.
CREATE POLICY give ON public.likes FOR INSERT TO authenticated WITH CHECK (true);
CREATE POLICY own ON public.matches FOR SELECT TO authenticated
    USING (user1_id = auth.uid() OR user2_id = auth.uid());
-- Open to the other member of the match: each writes, changes and deletes as the other.
CREATE POLICY of_match ON public.messages TO authenticated
    USING (EXISTS (SELECT FROM public.matches AS m WHERE m.id = match_id
        AND (m.user1_id = auth.uid() OR m.user2_id = auth.uid())));
CREATE POLICY own ON public.groups TO authenticated USING (owner_id = auth.uid());
CREATE POLICY own ON public.group_members TO authenticated USING (user_id = auth.uid());
-- Open: every signed-in user reads all.
CREATE POLICY signed_in ON public.subscriptions FOR SELECT TO authenticated
    USING (auth.uid() IS NOT NULL);
CREATE POLICY own ON public.preferences TO authenticated USING (user_id = auth.uid());
-- Open: anyone reads all, also without signing in.
CREATE POLICY items ON public.preference_items FOR SELECT USING (true);
CREATE POLICY own ON public.notifications FOR SELECT TO authenticated
    USING (recipient_id = auth.uid());
-- Open: users give their notifications to others.
CREATE POLICY mark ON public.notifications FOR UPDATE TO authenticated
    USING (recipient_id = auth.uid()) WITH CHECK (true);
CREATE POLICY own ON public.consents TO authenticated USING (user_id = auth.uid());
