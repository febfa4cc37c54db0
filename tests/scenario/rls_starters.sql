-- Three typical Supabase applications, each correct: nothing to wake a person for. Each starts with
-- the grants of a stock project, in a database of its own.

-- all: the grants of a stock project
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT ALL ON TABLES TO postgres, anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT ALL ON FUNCTIONS TO postgres, anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public
    GRANT ALL ON SEQUENCES TO postgres, anon, authenticated, service_role;
INSERT INTO auth.users (id, email, raw_app_meta_data, raw_user_meta_data)
    SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, format('user%s@example.com', n),
        '{"provider": "email"}', jsonb_build_object('name', 'User ' || n)
    FROM generate_series(1, 6) AS n;

-- starter: blog
CREATE TABLE public.profiles (
    id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE,
    username text UNIQUE,
    avatar_url text,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE public.posts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    title text NOT NULL,
    body text
);
CREATE INDEX ON public.posts (user_id);
CREATE TABLE public.comments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    post_id bigint NOT NULL REFERENCES public.posts ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    body text NOT NULL
);
CREATE INDEX ON public.comments (post_id);
CREATE INDEX ON public.comments (user_id);
CREATE TABLE public.todos (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id uuid NOT NULL DEFAULT auth.uid() REFERENCES auth.users ON DELETE CASCADE,
    task text NOT NULL,
    is_complete boolean NOT NULL DEFAULT false
);
CREATE INDEX ON public.todos (user_id);
CREATE TABLE public.categories (id integer PRIMARY KEY, name text NOT NULL);
ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.posts ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.comments ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.todos ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.categories ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Public profiles are viewable by everyone." ON public.profiles
    FOR SELECT USING (true);
CREATE POLICY "Users can insert their own profile." ON public.profiles
    FOR INSERT TO authenticated WITH CHECK ((SELECT auth.uid()) = id);
CREATE POLICY "Users can update own profile." ON public.profiles
    FOR UPDATE TO authenticated USING ((SELECT auth.uid()) = id);
CREATE POLICY "Posts are viewable by everyone" ON public.posts FOR SELECT USING (true);
CREATE POLICY "Users write their posts" ON public.posts
    FOR INSERT TO authenticated WITH CHECK ((SELECT auth.uid()) = user_id);
CREATE POLICY "Users update their posts" ON public.posts
    FOR UPDATE TO authenticated USING ((SELECT auth.uid()) = user_id);
CREATE POLICY "Users delete their posts" ON public.posts
    FOR DELETE TO authenticated USING ((SELECT auth.uid()) = user_id);
CREATE POLICY "Comments are viewable by everyone" ON public.comments FOR SELECT USING (true);
CREATE POLICY "Users write their comments" ON public.comments
    FOR INSERT TO authenticated WITH CHECK ((SELECT auth.uid()) = user_id);
CREATE POLICY "Users delete their comments" ON public.comments
    FOR DELETE TO authenticated USING ((SELECT auth.uid()) = user_id);
CREATE POLICY "Users manage their todos" ON public.todos TO authenticated
    USING ((SELECT auth.uid()) = user_id) WITH CHECK ((SELECT auth.uid()) = user_id);
CREATE POLICY "Categories are viewable by everyone" ON public.categories FOR SELECT USING (true);
CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = '' AS $$
BEGIN
    INSERT INTO public.profiles (id, username) VALUES (NEW.id, NEW.raw_user_meta_data ->> 'name');
    RETURN NEW;
END $$;
CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users
    FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();
INSERT INTO public.profiles (id, username) SELECT id, raw_user_meta_data ->> 'name' FROM auth.users;
INSERT INTO public.posts (user_id, title) SELECT id, 'Hello' FROM auth.users;
INSERT INTO public.comments (post_id, user_id, body)
    SELECT p.id, u.id, 'Nice' FROM public.posts AS p, auth.users AS u;
INSERT INTO public.todos (user_id, task) SELECT id, 'Shop' FROM auth.users;
INSERT INTO public.categories VALUES (1, 'News'), (2, 'Sports');
ANALYZE;

-- starter: teams
CREATE TABLE public.organizations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL
);
CREATE TABLE public.members (
    organization_id uuid NOT NULL REFERENCES public.organizations ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    role text NOT NULL DEFAULT 'member' CHECK (role IN ('owner', 'admin', 'member')),
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX ON public.members (user_id);
CREATE TABLE public.projects (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES public.organizations ON DELETE CASCADE,
    name text NOT NULL
);
CREATE INDEX ON public.projects (organization_id);
CREATE TABLE public.tasks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES public.organizations ON DELETE CASCADE,
    project_id uuid NOT NULL REFERENCES public.projects ON DELETE CASCADE,
    title text NOT NULL
);
CREATE INDEX ON public.tasks (organization_id);
CREATE INDEX ON public.tasks (project_id);
CREATE FUNCTION public.is_member(p_organization uuid) RETURNS boolean LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = '' AS $$
    SELECT EXISTS (
        SELECT FROM public.members AS m
        WHERE m.organization_id = p_organization AND m.user_id = (SELECT auth.uid())
    )
$$;
CREATE FUNCTION public.is_admin(p_organization uuid) RETURNS boolean LANGUAGE sql STABLE
    SECURITY DEFINER SET search_path = '' AS $$
    SELECT EXISTS (
        SELECT FROM public.members AS m
        WHERE m.organization_id = p_organization AND m.user_id = (SELECT auth.uid())
            AND m.role IN ('owner', 'admin')
    )
$$;
CREATE FUNCTION public.create_organization(p_name text) RETURNS uuid LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    new_id uuid;
BEGIN
    IF (SELECT auth.uid()) IS NULL THEN
        RAISE EXCEPTION 'sign in first';
    END IF;
    INSERT INTO public.organizations (name) VALUES (p_name) RETURNING id INTO new_id;
    INSERT INTO public.members VALUES (new_id, (SELECT auth.uid()), 'owner');
    RETURN new_id;
END $$;
REVOKE EXECUTE ON FUNCTION public.create_organization(text) FROM PUBLIC, anon;
ALTER TABLE public.organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.members ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.projects ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.tasks ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Members see their organizations" ON public.organizations
    FOR SELECT TO authenticated USING ((SELECT public.is_member(id)));
CREATE POLICY "Admins rename their organizations" ON public.organizations
    FOR UPDATE TO authenticated USING ((SELECT public.is_admin(id)))
    WITH CHECK ((SELECT public.is_admin(id)));
CREATE POLICY "Members see members" ON public.members
    FOR SELECT TO authenticated USING ((SELECT public.is_member(organization_id)));
CREATE POLICY "Admins add members" ON public.members
    FOR INSERT TO authenticated WITH CHECK ((SELECT public.is_admin(organization_id)));
CREATE POLICY "Admins remove members" ON public.members
    FOR DELETE TO authenticated USING ((SELECT public.is_admin(organization_id)));
CREATE POLICY "Members manage projects" ON public.projects TO authenticated
    USING ((SELECT public.is_member(organization_id)))
    WITH CHECK ((SELECT public.is_member(organization_id)));
CREATE POLICY "Members manage tasks" ON public.tasks TO authenticated
    USING ((SELECT public.is_member(organization_id)))
    WITH CHECK ((SELECT public.is_member(organization_id)));
INSERT INTO public.organizations (id, name)
    SELECT ('10000000-0000-4000-8000-00000000000' || n)::uuid, 'Org ' || n
    FROM generate_series(1, 3) AS n;
INSERT INTO public.members (organization_id, user_id, role)
    SELECT o.id, u.id,
        CASE WHEN right(u.id::text, 1) IN ('1', '3', '5') THEN 'owner' ELSE 'member' END
    FROM public.organizations AS o
    JOIN auth.users AS u
        ON (right(u.id::text, 1)::integer + 1) / 2 = right(o.id::text, 1)::integer;
INSERT INTO public.projects (organization_id, name) SELECT id, 'Launch' FROM public.organizations;
INSERT INTO public.tasks (organization_id, project_id, title)
    SELECT p.organization_id, p.id, 'Plan' FROM public.projects AS p;
ANALYZE;

-- starter: chat
CREATE TABLE public.users (
    id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE,
    display_name text NOT NULL
);
CREATE TABLE public.chats (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text
);
CREATE TABLE public.chat_members (
    chat_id bigint NOT NULL REFERENCES public.chats ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    PRIMARY KEY (chat_id, user_id)
);
CREATE INDEX ON public.chat_members (user_id);
CREATE TABLE public.messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chat_id bigint NOT NULL REFERENCES public.chats ON DELETE CASCADE,
    sender_id uuid NOT NULL REFERENCES public.users ON DELETE CASCADE,
    content text NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON public.messages (chat_id);
CREATE INDEX ON public.messages (sender_id);
CREATE SCHEMA IF NOT EXISTS private;
CREATE FUNCTION private.my_chats() RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = '' AS $$
    SELECT m.chat_id FROM public.chat_members AS m WHERE m.user_id = (SELECT auth.uid())
$$;
GRANT USAGE ON SCHEMA private TO authenticated;
REVOKE EXECUTE ON FUNCTION private.my_chats() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION private.my_chats() TO authenticated;
ALTER TABLE public.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.chats ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.chat_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Users see chat partners" ON public.users FOR SELECT TO authenticated
    USING (id = (SELECT auth.uid()) OR id IN (
        SELECT m.user_id FROM public.chat_members AS m
        WHERE m.chat_id IN (SELECT private.my_chats())));
CREATE POLICY "Users insert themselves" ON public.users
    FOR INSERT TO authenticated WITH CHECK (id = (SELECT auth.uid()));
CREATE POLICY "Users update themselves" ON public.users
    FOR UPDATE TO authenticated USING (id = (SELECT auth.uid()))
    WITH CHECK (id = (SELECT auth.uid()));
CREATE POLICY "Members see chats" ON public.chats FOR SELECT TO authenticated
    USING (id IN (SELECT private.my_chats()));
CREATE POLICY "Members see members" ON public.chat_members FOR SELECT TO authenticated
    USING (chat_id IN (SELECT private.my_chats()));
CREATE POLICY "Members see messages" ON public.messages FOR SELECT TO authenticated
    USING (chat_id IN (SELECT private.my_chats()));
CREATE POLICY "Members send messages" ON public.messages FOR INSERT TO authenticated
    WITH CHECK (sender_id = (SELECT auth.uid()) AND chat_id IN (SELECT private.my_chats()));
CREATE POLICY "Senders edit messages" ON public.messages FOR UPDATE TO authenticated
    USING (sender_id = (SELECT auth.uid()) AND chat_id IN (SELECT private.my_chats()))
    WITH CHECK (sender_id = (SELECT auth.uid()) AND chat_id IN (SELECT private.my_chats()));
INSERT INTO public.users SELECT id, raw_user_meta_data ->> 'name' FROM auth.users;
INSERT INTO public.chats (title) SELECT 'Chat ' || n FROM generate_series(1, 3) AS n;
INSERT INTO public.chat_members
    SELECT (right(id::text, 1)::integer + 1) / 2, id FROM public.users;
INSERT INTO public.messages (chat_id, sender_id, content)
    SELECT chat_id, user_id, 'Hello' FROM public.chat_members;
ANALYZE;
