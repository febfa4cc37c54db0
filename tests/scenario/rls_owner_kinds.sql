-- Tables whose owner is named by a text, a JSON value, an array, a folder or another key. Tables
-- that end in _open have a hole; the others are their healthy twins.
INSERT INTO auth.users (id, email)
SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, n || '@example.com'
FROM generate_series(1, 4) AS n;
CREATE FUNCTION public.owned(p_table text, p_columns text, p_value text) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE public.%I (id serial PRIMARY KEY, %s, note text)', p_table,
        p_columns);
    EXECUTE format('INSERT INTO public.%I (%s) SELECT %s FROM auth.users ORDER BY id', p_table,
        split_part(p_columns, ' ', 1), p_value);
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', p_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO authenticated', p_table);
    EXECUTE format('GRANT USAGE ON SEQUENCE public.%I TO authenticated', p_table || '_id_seq');
END $$;

SELECT public.owned('texts', 'who varchar(64)', 'id::text');
CREATE POLICY own ON public.texts USING (who::uuid = auth.uid());
SELECT public.owned('texts_open', 'who text', 'id::text');
CREATE POLICY own ON public.texts_open USING (who = (SELECT auth.uid())::text) WITH CHECK (true);

SELECT public.owned('events', 'data jsonb', $$jsonb_build_object('user_id', id, 'kind', 'a')$$);
CREATE POLICY own ON public.events USING (data ->> 'user_id' = auth.uid()::text);
SELECT public.owned('events_open', 'data jsonb', $$jsonb_build_object('user_id', id)$$);
CREATE POLICY own ON public.events_open FOR UPDATE
    USING (data ->> 'user_id' = auth.uid()::text) WITH CHECK (true);
CREATE POLICY seen ON public.events_open FOR SELECT USING (auth.uid() IS NOT NULL);
SELECT public.owned('nested', 'meta jsonb',
    $$jsonb_build_object('owner', jsonb_build_object('id', id))$$);
CREATE POLICY own ON public.nested USING ((meta #>> '{owner,id}')::uuid = (SELECT auth.uid()));
-- The policies on new rows read another key of the column.
SELECT public.owned('partly', 'data jsonb', $$jsonb_build_object('user_id', id, 'kind', 'a')$$);
CREATE POLICY own ON public.partly USING (data ->> 'user_id' = auth.uid()::text)
    WITH CHECK (data ->> 'kind' = 'b');

SELECT public.owned('chats', 'member_ids uuid[]', 'ARRAY[id]');
CREATE POLICY own ON public.chats USING (auth.uid() = ANY (member_ids));
SELECT public.owned('chats_open', 'member_ids uuid[]', 'ARRAY[id]');
CREATE POLICY own ON public.chats_open USING (member_ids @> ARRAY[auth.uid()]) WITH CHECK (true);
SELECT public.owned('handles', 'people text[]', 'ARRAY[id::text]');
CREATE POLICY own ON public.handles USING ((auth.uid())::text = ANY (people));
-- A list beside an owner names participants.
SELECT public.owned('albums', 'owner_id uuid REFERENCES auth.users', 'id');
ALTER TABLE public.albums ADD viewers uuid[];
UPDATE public.albums SET viewers = ARRAY['00000000-0000-4000-8000-000000000001'::uuid]
    WHERE owner_id = '00000000-0000-4000-8000-000000000002';
CREATE POLICY seen ON public.albums FOR SELECT
    USING (owner_id = auth.uid() OR auth.uid() = ANY (viewers));
CREATE POLICY own ON public.albums FOR UPDATE USING (owner_id = auth.uid());

-- Folders: `owner` is decoration, because the policies state ownership by the folder.
SELECT public.owned('files', 'name text', $$id || '/f.zip'$$);
ALTER TABLE public.files ADD owner uuid;
UPDATE public.files SET owner = split_part(name, '/', 1)::uuid;
CREATE POLICY own ON public.files USING (split_part(name, '/', 1) = (SELECT auth.uid())::text);
-- The planner inlines the function, so the quals hide the folder.
CREATE FUNCTION public.is_mine(p_name text) RETURNS boolean LANGUAGE sql STABLE
    AS $$ SELECT split_part(p_name, '/', 1) = auth.uid()::text $$;
SELECT public.owned('folders', 'name text', $$id || '/f.zip'$$);
CREATE POLICY own ON public.folders USING (public.is_mine(name));
SELECT public.owned('files_open', 'name text', $$id || '/f.zip'$$);
CREATE POLICY own ON public.files_open
    USING ((string_to_array(name, '/'))[1] = (SELECT auth.uid())::text) WITH CHECK (true);

-- Accounts with a key of their own, which other tables reference.
SELECT public.owned('persons', 'auth_id uuid UNIQUE', 'id');
CREATE POLICY own ON public.persons USING (auth_id = auth.uid());
SELECT public.owned('orders', 'person_id integer REFERENCES public.persons',
    '(SELECT p.id FROM public.persons AS p WHERE p.auth_id = users.id)');
CREATE POLICY own ON public.orders
    USING (person_id = (SELECT p.id FROM public.persons AS p WHERE p.auth_id = auth.uid()));
SELECT public.owned('orders_open', 'person_id integer REFERENCES public.persons',
    '(SELECT p.id FROM public.persons AS p WHERE p.auth_id = users.id)');
CREATE POLICY seen ON public.orders_open FOR SELECT USING (auth.uid() IS NOT NULL);
CREATE POLICY placed ON public.orders_open FOR INSERT
    WITH CHECK (EXISTS (SELECT FROM public.persons AS p WHERE p.auth_id = auth.uid()));

-- A row whose parent has an owner. Only the open one is readable by more users than its parent.
SELECT public.owned('order_lines', 'order_id integer REFERENCES public.orders',
    '(SELECT min(o.id) FROM public.orders AS o)');
CREATE POLICY own ON public.order_lines USING (EXISTS (SELECT FROM public.orders AS o
    WHERE o.id = order_id));
SELECT public.owned('order_lines_open', 'order_id integer REFERENCES public.orders',
    '(SELECT min(o.id) FROM public.orders AS o)');
CREATE POLICY seen ON public.order_lines_open FOR SELECT USING (true);
-- Accounts with neither a policy nor a foreign key: the name and the values tell.
CREATE TABLE public.patients (id uuid PRIMARY KEY, note text);
INSERT INTO public.patients SELECT id FROM auth.users;
ALTER TABLE public.patients ENABLE ROW LEVEL SECURITY;
SELECT public.owned('visits_open', 'seen_by_person uuid REFERENCES public.patients', 'id');
CREATE POLICY seen ON public.visits_open FOR SELECT USING (auth.uid() IS NOT NULL);

-- The author of this policy compared the wrong column. The name of the other one counts.
CREATE TABLE public.todos_open (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid,
    note text);
INSERT INTO public.todos_open (user_id) SELECT id FROM auth.users;
ALTER TABLE public.todos_open ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.todos_open USING (id = auth.uid());
GRANT SELECT, INSERT, UPDATE, DELETE ON public.todos_open TO authenticated;

-- A row without an owner equals the user id here, but names nobody.
SELECT public.owned('drafts_open', 'user_id uuid', 'id');
ALTER TABLE public.drafts_open ADD editor_id uuid;
UPDATE public.drafts_open SET user_id = NULL, editor_id = user_id WHERE id = 2;
CREATE POLICY seen ON public.drafts_open FOR SELECT
    USING (coalesce(user_id, auth.uid()) = auth.uid());
CREATE POLICY own ON public.drafts_open FOR DELETE USING (auth.uid() IN (user_id, editor_id));

-- Columns that say who touched a row.
SELECT public.owned('tickets', 'user_id uuid REFERENCES auth.users', 'id');
ALTER TABLE public.tickets ADD created_by uuid REFERENCES auth.users, ADD approved_by uuid;
UPDATE public.tickets SET created_by = '00000000-0000-4000-8000-000000000004';
CREATE POLICY own ON public.tickets USING (user_id = auth.uid());
-- Only the name tells: most owners, text values, and values that are no accounts.
SELECT public.owned('alerts_open', 'recipient_id uuid', 'id');
CREATE POLICY seen ON public.alerts_open FOR SELECT USING (true);
SELECT public.owned('badges_open', 'student_id text', 'id::text');
CREATE POLICY seen ON public.badges_open FOR SELECT USING (true);
SELECT public.owned('apps', 'client_id text', $$'web-' || id$$);
CREATE POLICY seen ON public.apps FOR SELECT USING (true);
SELECT public.owned('devices', 'owner_id uuid', 'gen_random_uuid()');
CREATE POLICY seen ON public.devices FOR SELECT USING (true);
SELECT public.owned('invoices', 'tenant_id uuid', 'gen_random_uuid()');
CREATE POLICY seen ON public.invoices FOR SELECT USING (true);
-- Nothing tells whose a row is.
SELECT public.owned('paths', 'path text', $$id || '/x'$$);
CREATE POLICY own ON public.paths USING (path LIKE auth.uid() || '/%');
SELECT public.owned('tagged', 'data jsonb',
    $$jsonb_build_object('members', jsonb_build_array(id))$$);
CREATE POLICY own ON public.tagged USING (data -> 'members' ? auth.uid()::text);
-- Documents of a team, of which only the creator is known: members write each other's.
CREATE TABLE public.teams (id integer PRIMARY KEY);
INSERT INTO public.teams VALUES (1), (2);
CREATE TABLE public.team_members (team_id integer REFERENCES public.teams,
    user_id uuid REFERENCES auth.users, PRIMARY KEY (team_id, user_id));
INSERT INTO public.team_members SELECT CASE WHEN email < '3' THEN 1 ELSE 2 END, id FROM auth.users;
ALTER TABLE public.team_members ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.team_members FOR SELECT USING (user_id = auth.uid());
GRANT SELECT ON public.team_members TO authenticated;
SELECT public.owned('documents', 'created_by uuid REFERENCES auth.users', 'id');
ALTER TABLE public.documents ADD team_id integer REFERENCES public.teams;
UPDATE public.documents AS d SET team_id = m.team_id FROM public.team_members AS m
    WHERE m.user_id = d.created_by;
CREATE POLICY of_team ON public.documents USING (team_id IN (
    SELECT m.team_id FROM public.team_members AS m WHERE m.user_id = auth.uid()));
