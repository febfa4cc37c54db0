-- Tables whose policies treat identities differently. The comment on each table lists expected
-- cells of the matrix: reach, identity without its role and verdict, separated by semicolons. A
-- minus sign before an entry means that no cell matches it.
CREATE TYPE public.app_role AS ENUM ('member', 'moderator', 'admin');
CREATE ROLE webapp LOGIN NOINHERIT;
CREATE ROLE reporter;
CREATE ROLE staff NOLOGIN;
CREATE ROLE gateway LOGIN NOINHERIT IN ROLE anon, authenticated, staff;
GRANT USAGE ON SCHEMA public, auth TO webapp, reporter, staff;
INSERT INTO auth.users (id, email) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid,
    'u' || n || '@example.test' FROM generate_series(1, 3) AS n;
CREATE TABLE public.permissions (role public.app_role, permission text);
ALTER TABLE public.permissions ENABLE ROW LEVEL SECURITY;
INSERT INTO public.permissions VALUES ('moderator', 'notes.read'), ('admin', 'notes.read');
CREATE FUNCTION private.authorize(p_permission text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
DECLARE mine public.app_role;
BEGIN
    SELECT (auth.jwt() ->> 'user_role')::public.app_role INTO mine;
    RETURN EXISTS (SELECT FROM public.permissions AS p
        WHERE p.role = mine AND p.permission = p_permission);
END $$;
CREATE FUNCTION private.is_over() RETURNS boolean LANGUAGE sql STABLE AS
    $$ SELECT now() > '2100-01-01' $$;
CREATE FUNCTION private.check_claims(p_claims jsonb) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN p_claims ->> 'plan' IS NOT NULL; END $$;

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['mfa_or_own', 'mfa_and_own', 'role_claim', 'not_banned', 'tenant',
        'permitted', 'self_written', 'list_of_teams', 'opaque_claim', 'by_setting',
        'by_setting_or_text', 'hidden_setting', 'until',
        'own_until', 'by_function_until', 'unclaimed', 'for_webapp', 'webapp_all', 'for_staff',
        'signed', 'flagged', 'level', 'two_claims', 'upper_case', 'not_before'] LOOP
        EXECUTE format('CREATE TABLE public.%I (id serial PRIMARY KEY,
            user_id uuid NOT NULL REFERENCES auth.users, org text, team integer, t text)', t);
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('GRANT ALL ON public.%I TO anon, authenticated, webapp, reporter, staff', t);
        EXECUTE format('INSERT INTO public.%I (user_id, org, team, t)
            SELECT id, right(id::text, 1), right(id::text, 1)::integer, ''x'' FROM auth.users', t);
    END LOOP;
END $$;

CREATE POLICY own ON public.mfa_or_own FOR SELECT TO authenticated USING (user_id = auth.uid());
CREATE POLICY mfa ON public.mfa_or_own TO authenticated
    USING ((SELECT auth.jwt() ->> 'aal') = 'aal2');
COMMENT ON TABLE public.mfa_or_own IS
    'read-leak with a second factor LEAK; read-leak as a new account ISOLATED';

CREATE POLICY own ON public.mfa_and_own FOR SELECT TO authenticated USING (user_id = auth.uid());
CREATE POLICY mfa ON public.mfa_and_own AS RESTRICTIVE TO authenticated
    USING ((SELECT auth.jwt() ->> 'aal') = 'aal2');
COMMENT ON TABLE public.mfa_and_own IS
    'read-leak with a second factor ISOLATED; -read-leak % LEAK';

CREATE POLICY p ON public.role_claim FOR SELECT TO authenticated
    USING (user_id = auth.uid() OR (auth.jwt() ->> 'user_role') = 'admin');
COMMENT ON TABLE public.role_claim IS
    'read-leak with user_role = admin SHARED; read-leak as a new account ISOLATED; -% LEAK';

CREATE POLICY p ON public.not_banned FOR SELECT TO authenticated
    USING ((auth.jwt() ->> 'status') <> 'banned');
COMMENT ON TABLE public.not_banned IS 'read-leak with any status LEAK';

CREATE POLICY p ON public.tenant FOR SELECT TO authenticated
    USING (org = (SELECT auth.jwt() ->> 'org'));
COMMENT ON TABLE public.tenant IS 'read-leak with org of row 1 SHARED; -% LEAK';

CREATE POLICY p ON public.permitted FOR SELECT TO authenticated
    USING (private.authorize('notes.read'));
COMMENT ON TABLE public.permitted IS
    'read-leak with user_role = admin SHARED; read-leak with user_role = moderator SHARED; '
    '-% LEAK; -read-leak with user_role = member SHARED';

CREATE POLICY p ON public.self_written FOR SELECT TO authenticated
    USING (user_id = auth.uid() OR auth.jwt() -> 'user_metadata' ->> 'kind' = 'support');
COMMENT ON TABLE public.self_written IS 'read-leak with user_metadata.kind = support LEAK';

CREATE POLICY p ON public.list_of_teams FOR SELECT TO authenticated
    USING (team::text IN (SELECT jsonb_array_elements_text(
        auth.jwt() -> 'app_metadata' -> 'teams')));
COMMENT ON TABLE public.list_of_teams IS
    'read-leak with app_metadata.teams of row 1 SHARED; -% LEAK';

CREATE POLICY p ON public.opaque_claim FOR SELECT TO authenticated
    USING (user_id = auth.uid() OR md5(auth.jwt() ->> 'pass') = t);
COMMENT ON TABLE public.opaque_claim IS
    'read-leak as a new account INCONCLUSIVE; -read-leak as a new account ISOLATED';

CREATE POLICY p ON public.by_setting TO authenticated
    USING (org = current_setting('App.Org', true));
COMMENT ON TABLE public.by_setting IS
    'read-leak with setting app.org of row 1 SHARED; -read-leak % LEAK';

CREATE POLICY p ON public.by_setting_or_text TO authenticated
    USING (org = current_setting('app.org', true) OR t IS NOT NULL);
COMMENT ON TABLE public.by_setting_or_text IS 'read-leak as a new account LEAK';

CREATE POLICY p ON public.hidden_setting FOR SELECT TO authenticated
    USING (user_id = auth.uid() OR md5(current_setting('app.org', true)) = t);
COMMENT ON TABLE public.hidden_setting IS
    'read-leak as a new account INCONCLUSIVE; -read-leak as a new account ISOLATED';

CREATE TABLE public.empty_teams (id integer PRIMARY KEY, org text NOT NULL, t text);
CREATE TABLE public.empty_or_text (LIKE public.empty_teams);
CREATE TABLE public.empty_owned (id integer PRIMARY KEY, t text,
    user_id uuid NOT NULL REFERENCES auth.users);
CREATE TABLE public.empty_restamped (LIKE public.empty_teams);
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['empty_teams', 'empty_or_text', 'empty_owned', 'empty_restamped'] LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('GRANT ALL ON public.%I TO authenticated', t);
    END LOOP;
END $$;
CREATE POLICY p ON public.empty_teams TO authenticated
    USING (org = current_setting('app.org', true));
COMMENT ON TABLE public.empty_teams IS '-read-leak % PUBLIC; -destruction % PUBLIC';
CREATE POLICY p ON public.empty_or_text TO authenticated
    USING (org = current_setting('app.org', true) OR t IS NOT NULL);
COMMENT ON TABLE public.empty_or_text IS
    'read-leak as a new account PUBLIC; destruction as a new account PUBLIC';
CREATE POLICY p ON public.empty_owned TO authenticated USING (user_id = auth.uid());
COMMENT ON TABLE public.empty_owned IS
    'read-leak as a new account ISOLATED; -% LEAK; -% PUBLIC; -% INCONCLUSIVE';
CREATE POLICY p ON public.empty_restamped FOR UPDATE TO authenticated
    USING (true) WITH CHECK (org = current_setting('app.org', true));
COMMENT ON TABLE public.empty_restamped IS 'tampering with any setting app.org PUBLIC';

CREATE POLICY p ON public.until FOR SELECT TO authenticated
    USING (user_id = auth.uid() OR now() > '2100-01-01');
COMMENT ON TABLE public.until IS
    'read-leak as a new account INCONCLUSIVE; -read-leak as a new account ISOLATED';

CREATE POLICY p ON public.not_before FOR SELECT TO authenticated
    USING (user_id = auth.uid() OR NOT (current_date < '2100-01-01'));
COMMENT ON TABLE public.not_before IS
    'read-leak as a new account INCONCLUSIVE; -read-leak as a new account ISOLATED';

CREATE POLICY p ON public.own_until FOR SELECT TO authenticated
    USING (user_id = auth.uid() AND now() < '2100-01-01');
COMMENT ON TABLE public.own_until IS
    'read-leak as a new account ISOLATED; -% LEAK; -% INCONCLUSIVE';

CREATE POLICY p ON public.by_function_until FOR SELECT TO authenticated
    USING (user_id = auth.uid() OR private.is_over());
COMMENT ON TABLE public.by_function_until IS 'read-leak as a new account INCONCLUSIVE';

CREATE POLICY p ON public.unclaimed FOR SELECT TO authenticated
    USING (auth.uid() IS NULL OR user_id = auth.uid());
COMMENT ON TABLE public.unclaimed IS
    'read-leak without claims LEAK; read-leak without a user LEAK; '
    'read-leak as a new account ISOLATED';

CREATE POLICY p ON public.for_webapp TO webapp
    USING (user_id = auth.uid()
        OR nullif(current_setting('request.jwt.claims', true), '') IS NULL);
COMMENT ON TABLE public.for_webapp IS
    'read-leak without claims LEAK; read-leak as a new account ISOLATED; '
    'destruction without claims LEAK';

CREATE POLICY p ON public.webapp_all TO webapp, reporter USING (true);
COMMENT ON TABLE public.webapp_all IS 'read-leak as a new account SHARED; -% LEAK';

CREATE POLICY p ON public.for_staff FOR SELECT USING (current_user = 'staff');
COMMENT ON TABLE public.for_staff IS 'read-leak as a new account LEAK';

CREATE POLICY p ON public.signed FOR SELECT TO authenticated USING (user_id = auth.uid());
COMMENT ON TABLE public.signed IS
    'read-leak without claims CLOSED; read-leak without a user CLOSED; '
    'read-leak as a new account ISOLATED; -% LEAK; -% SHARED; -% INCONCLUSIVE';

CREATE POLICY p ON public.flagged FOR SELECT TO authenticated
    USING (user_id = auth.uid() OR coalesce((auth.jwt() ->> 'is_admin')::boolean, false));
COMMENT ON TABLE public.flagged IS 'read-leak with is_admin = true SHARED; -% LEAK';

CREATE POLICY p ON public.level FOR SELECT TO authenticated
    USING ((auth.jwt() ->> 'level')::integer > 7);
COMMENT ON TABLE public.level IS 'read-leak with level = 8 SHARED; -% LEAK';

CREATE POLICY p ON public.two_claims FOR SELECT TO authenticated
    USING ((auth.jwt() ->> 'user_role') = 'admin' AND (auth.jwt() ->> 'plan') = 'pro');
COMMENT ON TABLE public.two_claims IS
    'read-leak with user_role = admin, plan = pro SHARED; -% LEAK';

CREATE POLICY p ON public.upper_case FOR SELECT TO authenticated
    USING (user_id = (current_setting('Request.JWT.Claims', true)::jsonb ->> 'sub')::uuid);
COMMENT ON TABLE public.upper_case IS 'read-leak as a new account ISOLATED; -% INCONCLUSIVE';

CREATE TABLE public.ungranted (id integer PRIMARY KEY, user_id uuid REFERENCES auth.users);
INSERT INTO public.ungranted SELECT 1, id FROM auth.users LIMIT 1;
ALTER TABLE public.ungranted ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON public.ungranted FOR SELECT TO authenticated USING (user_id IS NOT NULL);
COMMENT ON TABLE public.ungranted IS 'read-leak as a new account NO ACCESS; -% LEAK';
CREATE TABLE public.ungranted_own (LIKE public.ungranted);
INSERT INTO public.ungranted_own SELECT * FROM public.ungranted;
ALTER TABLE public.ungranted_own ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON public.ungranted_own TO authenticated USING (user_id = auth.uid());
COMMENT ON TABLE public.ungranted_own IS '-read-leak % NO ACCESS';

-- A function casts a setting that no setting of the extension names. Values of another type would
-- raise an error, which is none of the policies' errors.
CREATE SCHEMA IF NOT EXISTS private;
GRANT USAGE ON SCHEMA private TO authenticated;
CREATE FUNCTION private.tenant_number() RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('tenancy.number', true), '')::integer
$$;
CREATE FUNCTION private.tenant_day() RETURNS date LANGUAGE sql STABLE AS $$
    SELECT CAST(nullif(current_setting('tenancy.day', true), '') AS date)
$$;
GRANT EXECUTE ON FUNCTION private.tenant_number, private.tenant_day TO authenticated;
CREATE TABLE public.cast_setting (user_id uuid, tenant integer, day date);
INSERT INTO public.cast_setting SELECT id, 7, '2026-01-01' FROM auth.users;
ALTER TABLE public.cast_setting ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_number ON public.cast_setting FOR SELECT TO authenticated
    USING (tenant = private.tenant_number());
CREATE POLICY by_day ON public.cast_setting FOR DELETE TO authenticated
    USING (day = private.tenant_day());
GRANT SELECT, DELETE ON public.cast_setting TO authenticated;
COMMENT ON TABLE public.cast_setting IS 'read-leak as a new account INCONCLUSIVE; '
    'destruction as a new account INCONCLUSIVE; -read-leak % FAILING; -destruction % FAILING';

-- The API server sends headers with each request. A policy that reads one fails no request, and so
-- hides no other policy's leak.
CREATE TABLE public.by_header (user_id uuid, token text);
INSERT INTO public.by_header SELECT id, 'secret' FROM auth.users;
ALTER TABLE public.by_header ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_token ON public.by_header FOR SELECT TO authenticated
    USING (token = current_setting('request.headers', true)::json ->> 'x-share-token');
CREATE POLICY all_rows ON public.by_header FOR SELECT TO authenticated USING (token IS NOT NULL);
GRANT SELECT ON public.by_header TO authenticated;
COMMENT ON TABLE public.by_header IS
    'read-leak as a new account LEAK; -read-leak % FAILING';

-- A setting that requests lack is NULL, not the empty text that a tried value leaves behind. Two
-- tables: the second is asked after the first was tried with values.
CREATE TABLE public.by_number_a (tenant integer);
INSERT INTO public.by_number_a VALUES (1), (2);
ALTER TABLE public.by_number_a ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON public.by_number_a FOR SELECT TO authenticated
    USING (tenant = current_setting('numbered.tenant', true)::integer);
CREATE TABLE public.by_number_b (LIKE public.by_number_a);
INSERT INTO public.by_number_b VALUES (1), (2);
ALTER TABLE public.by_number_b ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON public.by_number_b FOR SELECT TO authenticated
    USING (tenant = current_setting('numbered.tenant', true)::integer);
GRANT SELECT ON public.by_number_a, public.by_number_b TO authenticated;
