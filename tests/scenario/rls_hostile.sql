-- Tables with policies, names and shapes that an audit may fail on. Run after rls/base.sql. The
-- comment of each table names the expected verdict for read-leak, or several acceptable ones.
INSERT INTO auth.users (id) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid
    FROM generate_series(1, 4) AS n;
GRANT USAGE ON SCHEMA private TO anon, authenticated;
CREATE TABLE private.written (what text);
GRANT ALL ON private.written TO PUBLIC;
CREATE SEQUENCE private.counted;
GRANT ALL ON private.counted TO PUBLIC;

-- Functions that try to leave the client role. private.steal() records a superuser that runs it.
CREATE TABLE private.stolen (by_user text);
CREATE FUNCTION private.steal() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        INSERT INTO private.stolen VALUES (current_user);
        RAISE WARNING 'STOLEN by %', current_user;
    END IF;
    RETURN true;
END $$;
CREATE FUNCTION private.by_reset() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN RESET ROLE; RETURN private.steal(); END $$;
CREATE FUNCTION private.by_set() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN SET ROLE postgres; RETURN private.steal(); END $$;
CREATE FUNCTION private.by_none() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN SET LOCAL ROLE NONE; RETURN private.steal(); END $$;
CREATE FUNCTION private.by_session() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN SET SESSION AUTHORIZATION postgres; RETURN private.steal(); END $$;
CREATE FUNCTION private.by_reset_session() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN RESET SESSION AUTHORIZATION; RETURN private.steal(); END $$;
CREATE FUNCTION private.by_config() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN PERFORM set_config('role', 'postgres', false); RETURN private.steal(); END $$;
CREATE FUNCTION private.by_clause() RETURNS boolean LANGUAGE plpgsql SET role = postgres AS $$
BEGIN RETURN private.steal(); END $$;
CREATE FUNCTION private.by_exception() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    BEGIN RESET ROLE; EXCEPTION WHEN OTHERS THEN NULL; END;
    BEGIN SET SESSION AUTHORIZATION DEFAULT; EXCEPTION WHEN OTHERS THEN NULL; END;
    PERFORM private.steal();
    RETURN true;
END $$;
-- The function is declared IMMUTABLE. The planner and any code that simplifies a policy call it.
CREATE FUNCTION private.immutable_reset() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM set_config('role', 'postgres', false);
    RETURN private.steal();
END $$;
CREATE FUNCTION private.write() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN INSERT INTO private.written VALUES (current_user); RETURN true; END $$;
CREATE FUNCTION private.immutable_write() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN RETURN private.write(); END $$;
CREATE FUNCTION private.immutable_sleep() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN PERFORM pg_sleep(3600); RETURN true; END $$;
CREATE FUNCTION private.count_up() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN PERFORM nextval('private.counted'); RETURN true; END $$;
CREATE FUNCTION private.make_table() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN CREATE TEMP TABLE left_behind (a int); RETURN true; END $$;
CREATE FUNCTION private.set_claims() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('request.jwt.claims', '{"sub": "00000000-0000-4000-8000-000000000001"}',
        false);
    PERFORM set_config('crewsnow_ops.user_role', 'postgres', false);
    RETURN true;
END $$;
CREATE FUNCTION private.sleep() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN PERFORM pg_sleep(3600); RETURN true; END $$;
CREATE FUNCTION private.busy() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN LOOP NULL; END LOOP; END $$;
CREATE FUNCTION private.stubborn() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    FOR i IN 1..3 LOOP
        BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN NULL; END;
    END LOOP;
    RETURN true;
END $$;
CREATE FUNCTION private.raise() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN RAISE EXCEPTION 'no % today', 'access'; END $$;
CREATE FUNCTION private.deep() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN private.deep(); END $$;
CREATE FUNCTION private.pass(boolean) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN RETURN true; END $$;

CREATE FUNCTION private.hostile(p_name text, p_policy text, p_verdict text) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE TABLE public.%I (
            id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            user_id uuid REFERENCES auth.users, note text
        )', p_name);
    EXECUTE format(
        'INSERT INTO public.%I (user_id, note) SELECT id, ''secret of '' || id FROM auth.users',
        p_name);
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', p_name);
    EXECUTE format('GRANT SELECT, DELETE ON public.%I TO authenticated', p_name);
    EXECUTE format('CREATE POLICY p ON public.%I USING (%s)', p_name, p_policy);
    EXECUTE format('COMMENT ON TABLE public.%I IS %L', p_name, p_verdict);
END $$;

SELECT private.hostile('by_' || way, format('private.by_%s()', way), 'INCONCLUSIVE')
FROM unnest(ARRAY['reset', 'set', 'none', 'session', 'reset_session', 'config', 'clause']) AS way;
SELECT private.hostile('by_exception', 'private.by_exception()', 'LEAK');
SELECT private.hostile('immutable_reset', 'private.immutable_reset()', 'INCONCLUSIVE');
SELECT private.hostile('immutable_write', 'private.immutable_write()', 'INCONCLUSIVE');
SELECT private.hostile('immutable_sleep', 'private.immutable_sleep()', 'INCONCLUSIVE');
SELECT private.hostile('writing', 'private.write()', 'INCONCLUSIVE');
SELECT private.hostile('counting', 'private.count_up()', 'INCONCLUSIVE');
SELECT private.hostile('making', 'private.make_table()', 'INCONCLUSIVE');
SELECT private.hostile('setting', 'private.set_claims()', 'FAILING');
SELECT private.hostile('sleeping', 'private.sleep()', 'INCONCLUSIVE');
SELECT private.hostile('sleeping_by_row', 'private.sleep() AND length(note) > 0', 'INCONCLUSIVE');
SELECT private.hostile('busy', 'private.busy()', 'INCONCLUSIVE');
SELECT private.hostile('stubborn', 'private.stubborn()', 'LEAK INCONCLUSIVE');
SELECT private.hostile('raising', 'private.raise()', 'FAILING');
SELECT private.hostile('dividing', '1 / (id - id) = 1', 'FAILING');
SELECT private.hostile('deep', 'private.deep()', 'FAILING');
SELECT private.hostile('reading_settings',
    $$current_setting('crewsnow_ops.user_role', true) = 'authenticated'$$,
    'LEAK');
SELECT private.hostile('reading_role', $$current_setting('role') = 'authenticated'$$, 'LEAK');
SELECT private.hostile('hiding',
    $$current_setting('role') = 'none' AND user_id = auth.uid()
        OR current_setting('role') = 'authenticated'$$,
    'LEAK');
SELECT private.hostile('sound', 'user_id = (SELECT auth.uid())', 'ISOLATED');
SELECT private.hostile('Robert''); "DROP" TABLE "students"; --', 'true', 'LEAK');
SELECT private.hostile('' || chr(128169) || chr(8206) || 'Ünï''"', 'true', 'LEAK');
SELECT private.hostile('select', 'true', 'LEAK');
SELECT private.hostile(name, 'user_id = auth.uid()', 'ISOLATED')
FROM unnest(ARRAY['pg_class', 'pg_policy', 'pg_attribute', 'pg_constraint', 'pg_proc', 'pg_roles',
    'pg_namespace', 'pg_settings', 'users', 'md5']) AS name;
-- A column and a policy with quotes.
CREATE TABLE public.columns ("user ""id"" '" uuid REFERENCES auth.users, "a"".b" text);
INSERT INTO public.columns SELECT id, 'x' FROM auth.users;
ALTER TABLE public.columns ENABLE ROW LEVEL SECURITY;
GRANT ALL ON public.columns TO authenticated;
CREATE POLICY "it's ""mine"" %s $1 \" ON public.columns USING ("user ""id"" '" = auth.uid());
COMMENT ON TABLE public.columns IS 'ISOLATED';

-- Policies that read each other's tables.
SELECT private.hostile('mirror', 'false', 'FAILING'),
    private.hostile('mirrored', 'EXISTS (SELECT FROM public.mirror)', 'FAILING');
ALTER POLICY p ON public.mirror USING (EXISTS (SELECT FROM public.mirrored));
SELECT private.hostile('narcissus', 'false', 'FAILING');
ALTER POLICY p ON public.narcissus
    USING (EXISTS (SELECT FROM public.narcissus AS n WHERE n.user_id = auth.uid()));

-- Tables with rules, without columns, with generated columns, partitioned, inherited, and in a
-- cycle of foreign keys.
SELECT private.hostile('ruled', 'true', 'LEAK');
GRANT INSERT, UPDATE ON public.ruled TO authenticated;
CREATE RULE no_insert AS ON INSERT TO public.ruled DO INSTEAD NOTHING;
CREATE RULE no_update AS ON UPDATE TO public.ruled DO INSTEAD
    INSERT INTO private.written VALUES ('by a rule');
CREATE RULE also_delete AS ON DELETE TO public.ruled DO ALSO
    INSERT INTO private.written VALUES ('by a rule');
CREATE TABLE public.nothing ();
ALTER TABLE public.nothing ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON public.nothing USING (true);
GRANT ALL ON public.nothing TO anon, authenticated;
INSERT INTO public.nothing DEFAULT VALUES;
CREATE TABLE public.generated (
    doubled text GENERATED ALWAYS AS (note || note) STORED,
    id bigint GENERATED ALWAYS AS IDENTITY,
    note text DEFAULT nextval('private.counted'), user_id uuid
);
INSERT INTO public.generated (note, user_id) SELECT 'x', id FROM auth.users;
ALTER TABLE public.generated ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON public.generated USING (user_id = auth.uid()) WITH CHECK (doubled IS NOT NULL);
GRANT ALL ON public.generated TO authenticated;
COMMENT ON TABLE public.generated IS 'ISOLATED';
CREATE TABLE public.parts (user_id uuid, at date) PARTITION BY RANGE (at);
CREATE TABLE public.part_1 PARTITION OF public.parts DEFAULT;
INSERT INTO public.parts SELECT id, '2026-01-01' FROM auth.users;
ALTER TABLE public.parts ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON public.parts USING (user_id = auth.uid() OR at < '2026-02-01');
GRANT ALL ON public.parts TO authenticated;
COMMENT ON TABLE public.parts IS 'LEAK';
CREATE TABLE public.empty_parts (user_id uuid, at date) PARTITION BY RANGE (at);
ALTER TABLE public.empty_parts ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON public.empty_parts USING (at < '2026-02-01');
GRANT ALL ON public.empty_parts TO authenticated;
COMMENT ON TABLE public.empty_parts IS 'LEAK';
CREATE TABLE public.ancestor (user_id uuid, note text);
CREATE TABLE public.descendant () INHERITS (public.ancestor);
INSERT INTO public.descendant SELECT id, 'x' FROM auth.users;
ALTER TABLE public.ancestor ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON public.ancestor USING (note = 'x');
GRANT ALL ON public.ancestor TO authenticated;
COMMENT ON TABLE public.ancestor IS 'LEAK';
CREATE TABLE public.ring_1 (id uuid PRIMARY KEY, user_id uuid REFERENCES auth.users, next uuid);
CREATE TABLE public.ring_2 (id uuid PRIMARY KEY REFERENCES public.ring_1,
    next uuid REFERENCES public.ring_1);
ALTER TABLE public.ring_1 ADD FOREIGN KEY (next) REFERENCES public.ring_2,
    ADD FOREIGN KEY (id) REFERENCES auth.users, ADD FOREIGN KEY (id) REFERENCES public.ring_1;
ALTER TABLE auth.users ADD FOREIGN KEY (id) REFERENCES auth.users;
INSERT INTO public.ring_1 SELECT id, id FROM auth.users;
ALTER TABLE public.ring_1 ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON public.ring_1 USING (user_id = auth.uid());
GRANT ALL ON public.ring_1, public.ring_2 TO authenticated;
COMMENT ON TABLE public.ring_1 IS 'ISOLATED';
ANALYZE;
