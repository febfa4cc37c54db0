-- Sixteen tables with one policy each, and two users. Each user owns a row of every table. The
-- policies own and own_once isolate the users; the other fourteen leak the foreign row.
CREATE SCHEMA auth;
CREATE TABLE auth.users (
    id uuid PRIMARY KEY, email text, raw_app_meta_data jsonb, raw_user_meta_data jsonb
);
INSERT INTO auth.users VALUES
    ('aaaaaaaa-0000-4000-8000-000000000001', 'a@example.com', '{}', '{}'),
    ('bbbbbbbb-0000-4000-8000-000000000002', 'b@example.com', '{}', '{}');
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT (auth.jwt() ->> 'sub')::uuid $$;
CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT auth.jwt() ->> 'role' $$;
GRANT USAGE ON SCHEMA auth, public TO anon, authenticated;
CREATE TABLE public.members (
    team integer, user_id uuid REFERENCES auth.users, PRIMARY KEY (team, user_id)
);
INSERT INTO public.members VALUES
    (1, 'aaaaaaaa-0000-4000-8000-000000000001'), (2, 'bbbbbbbb-0000-4000-8000-000000000002');
ALTER TABLE public.members ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.members FOR SELECT TO authenticated USING (user_id = auth.uid());
GRANT SELECT ON public.members TO authenticated;
CREATE FUNCTION public.my_ok() RETURNS boolean LANGUAGE plpgsql STABLE AS
    $$ BEGIN RETURN true; END $$;
DO $create$
DECLARE
    shape record;
BEGIN
    FOR shape IN SELECT * FROM (VALUES
        ('true', 'true'), ('signed_in', 'auth.uid() IS NOT NULL'), ('tautology', '1 = 1'),
        ('by_role', $$auth.role() = 'authenticated'$$),
        ('own', 'user_id = auth.uid()'), ('or_true', 'user_id = auth.uid() OR true'),
        ('public_flag', 'user_id = auth.uid() OR is_public'),
        ('uncorrelated', 'EXISTS (SELECT FROM public.members AS m WHERE m.user_id = auth.uid())'),
        ('coalesced', 'coalesce(nullif(user_id, user_id) = auth.uid(), true)'),
        ('not_null', 'user_id IS NOT NULL'),
        ('own_once', '(SELECT auth.uid()) = user_id'),
        ('any_team', 'team IN (SELECT 1 UNION SELECT 2)'),
        ('by_case', 'CASE WHEN auth.uid() IS NULL THEN false ELSE true END'),
        ('recent', $$created_at > now() - interval '1 year'$$),
        ('opaque', 'public.my_ok()'), ('no_tenant', 'tenant IS NULL OR tenant = auth.uid()')
    ) AS shapes (name, expression) LOOP
        EXECUTE format($$
            CREATE TABLE public.t_%1$s (id integer PRIMARY KEY,
                user_id uuid NOT NULL REFERENCES auth.users, team integer, tenant uuid,
                is_public boolean NOT NULL DEFAULT true,
                created_at timestamptz NOT NULL DEFAULT now());
            INSERT INTO public.t_%1$s (id, user_id, team) VALUES
                (1, 'aaaaaaaa-0000-4000-8000-000000000001', 1),
                (2, 'bbbbbbbb-0000-4000-8000-000000000002', 2);
            ALTER TABLE public.t_%1$s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
            CREATE POLICY p ON public.t_%1$s FOR SELECT TO authenticated USING (%2$s);
            GRANT SELECT ON public.t_%1$s TO authenticated
        $$, shape.name, shape.expression);
    END LOOP;
END
$create$;
