-- Tables with write policies that read columns of the client's choice, with two owner columns, or
-- with triggers that set the owner. The comment of each table lists the expected cells of the RLS
-- matrix: the reach, the identity, the verdict and the confidence. Identities: new (a new account),
-- guest (an anonymous sign-in), user (an existing account) and anon (no account).
INSERT INTO auth.users (id) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid
    FROM generate_series(1, 4) AS n;
CREATE TABLE public.crews (id integer PRIMARY KEY);
INSERT INTO public.crews SELECT generate_series(1, 3);
CREATE TABLE private.crew_members (
    crew_id integer NOT NULL REFERENCES public.crews,
    user_id uuid NOT NULL REFERENCES auth.users
);
INSERT INTO private.crew_members
    SELECT 1 + n / 3, ('00000000-0000-4000-8000-00000000000' || n)::uuid
    FROM generate_series(1, 4) AS n;
GRANT SELECT ON private.crew_members TO authenticated;
CREATE FUNCTION private.is_in_crew(p_crew integer) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM private.crew_members WHERE crew_id = p_crew AND user_id = auth.uid()
    );
END $$;
CREATE FUNCTION private.is_valid(p_code text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN p_code = 'let me in'; END $$;
CREATE TYPE public.kind AS ENUM ('draft', 'sent');
CREATE FUNCTION private.is_no_kind(p_kind public.kind) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN p_kind::text = 'none'; END $$;

CREATE FUNCTION private.make(t text, clauses text, expected text) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE TABLE public.%I (
            user_id uuid NOT NULL REFERENCES auth.users,
            crew_id integer REFERENCES public.crews,
            kind public.kind, code text, title varchar(20), price integer
        )', t);
    EXECUTE format(
        'INSERT INTO public.%I SELECT u.id, NULL, %L, %L, %L, 1 FROM auth.users AS u',
        t, 'draft', 'x', 'y');
    EXECUTE format(
        'ALTER TABLE public.%1$I ENABLE ROW LEVEL SECURITY;
        GRANT ALL ON public.%1$I TO anon, authenticated', t);
    EXECUTE format('CREATE POLICY p ON public.%I %s', t, clauses);
    EXECUTE format('COMMENT ON TABLE public.%I IS %L', t, expected);
END $$;
-- Sub-queries over other tables. A member of a crew may write rows of any owner in that crew.
SELECT private.make('in_crew',
    $$FOR INSERT WITH CHECK (user_id = auth.uid()
        OR crew_id IN (SELECT m.crew_id FROM private.crew_members AS m
            WHERE m.user_id = auth.uid()))$$,
    'forged-rows user SHARED OBSERVED; forged-rows new ISOLATED OBSERVED');
SELECT private.make('exists_crew',
    $$FOR INSERT WITH CHECK (user_id = auth.uid()
        OR EXISTS (SELECT FROM private.crew_members AS m
            WHERE m.crew_id = exists_crew.crew_id AND m.user_id = auth.uid()))$$,
    'forged-rows user SHARED OBSERVED; forged-rows new ISOLATED OBSERVED');
SELECT private.make('any_crew',
    $$FOR INSERT TO authenticated WITH CHECK (user_id = auth.uid()
        OR crew_id = ANY (ARRAY(SELECT m.crew_id FROM private.crew_members AS m)))$$,
    'forged-rows new LEAK OBSERVED');
-- Functions. The audit tries all keys and all values of an enum. Text values are INCONCLUSIVE.
SELECT private.make('function_crew',
    $$FOR INSERT WITH CHECK (user_id = auth.uid() OR private.is_in_crew(crew_id))$$,
    'forged-rows user SHARED OBSERVED; forged-rows new ISOLATED OBSERVED');
SELECT private.make('function_kind',
    $$FOR INSERT WITH CHECK (user_id = auth.uid() OR private.is_no_kind(kind))$$,
    'forged-rows new ISOLATED OBSERVED');
SELECT private.make('function_code',
    $$FOR INSERT WITH CHECK (user_id = auth.uid() OR private.is_valid(code))$$,
    'forged-rows new INCONCLUSIVE ; forged-rows user INCONCLUSIVE ');
SELECT private.make('pattern',
    $$FOR INSERT WITH CHECK (user_id = auth.uid() OR code LIKE 'pub-%')$$,
    'forged-rows new INCONCLUSIVE ');
SELECT private.make('function_and_owner',
    $$FOR INSERT WITH CHECK (user_id = auth.uid() AND private.is_valid(code))$$,
    'forged-rows new ISOLATED PROVED');
-- Constants and ranges.
SELECT private.make('ranged',
    $$FOR INSERT WITH CHECK (user_id = auth.uid() OR price BETWEEN 100 AND 200)$$,
    'forged-rows new LEAK OBSERVED');
SELECT private.make('narrow',
    $$FOR INSERT WITH CHECK (user_id = auth.uid() OR price > 100 AND price < 102)$$,
    'forged-rows new LEAK OBSERVED');
SELECT private.make('empty_range',
    $$FOR INSERT WITH CHECK (user_id = auth.uid() OR price > 100 AND price < 101)$$,
    'forged-rows new ISOLATED OBSERVED');
SELECT private.make('worded',
    $$FOR INSERT WITH CHECK (user_id = auth.uid() OR title = 'open')$$,
    'forged-rows new LEAK OBSERVED');
SELECT private.make('kinds',
    $$FOR INSERT WITH CHECK (user_id = auth.uid() OR kind = 'sent')$$,
    'forged-rows new LEAK PROVED');
SELECT private.make('others',
    $$FOR INSERT WITH CHECK (user_id = auth.uid() OR NOT (kind = 'draft'))$$,
    'forged-rows new LEAK OBSERVED');
-- Updates of existing rows.
SELECT private.make('changed', $$FOR UPDATE USING (true) WITH CHECK (price > 100)$$,
    'tampering new LEAK OBSERVED; take-over new LEAK OBSERVED; planted-rows new LEAK OBSERVED');
SELECT private.make('sent',
    $$FOR UPDATE USING (user_id = auth.uid()) WITH CHECK (user_id = auth.uid() OR kind = 'sent')$$,
    'planted-rows new LEAK OBSERVED; tampering new ISOLATED PROVED');
SELECT private.make('sent_far',
    $$FOR UPDATE USING (user_id = auth.uid()) WITH CHECK (user_id = auth.uid() OR price > 100)$$,
    'planted-rows new LEAK OBSERVED; take-over new ISOLATED PROVED');
-- A request without a user.
SELECT private.make('visitors',
    $$FOR INSERT TO anon WITH CHECK (price > 100)$$,
    'forged-rows anon LEAK OBSERVED');

-- Two owner columns, each of which an update may set to another user.
CREATE TABLE public.letters (sender uuid NOT NULL REFERENCES auth.users,
    receiver uuid NOT NULL REFERENCES auth.users);
INSERT INTO public.letters SELECT a.id, b.id FROM auth.users AS a
    JOIN auth.users AS b ON a.id <> b.id;
CREATE TABLE public.taken (LIKE public.letters, FOREIGN KEY (sender) REFERENCES auth.users,
    FOREIGN KEY (receiver) REFERENCES auth.users);
INSERT INTO public.taken TABLE public.letters;
ALTER TABLE public.letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.taken ENABLE ROW LEVEL SECURITY;
GRANT ALL ON public.letters, public.taken TO authenticated;
CREATE POLICY p ON public.letters FOR UPDATE USING (receiver = auth.uid())
    WITH CHECK (sender <> auth.uid() AND receiver <> auth.uid());
CREATE POLICY p ON public.taken FOR UPDATE USING (true) WITH CHECK (receiver = auth.uid());
COMMENT ON TABLE public.letters IS 'planted-rows new LEAK OBSERVED';
COMMENT ON TABLE public.taken IS 'take-over new LEAK PROVED';

-- Triggers that set the owner: one enabled, one disabled, and one for another command.
CREATE FUNCTION private.set_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.user_id := auth.uid(); RETURN NEW; END $$;
SELECT private.make(t, 'USING (user_id = auth.uid()) WITH CHECK (auth.uid() IS NOT NULL)', expected)
FROM (VALUES
    ('helped', 'forged-rows new LEAK SUSPECTED; planted-rows new LEAK PROVED'),
    ('helped_not', 'forged-rows new LEAK PROVED; planted-rows new LEAK PROVED'),
    ('helped_changing', 'forged-rows new LEAK PROVED; planted-rows new LEAK SUSPECTED; '
        'read-leak new ISOLATED PROVED')
) AS v (t, expected);
CREATE TRIGGER "sets it" BEFORE INSERT ON public.helped FOR EACH ROW
    EXECUTE FUNCTION private.set_owner();
CREATE TRIGGER later AFTER UPDATE ON public.helped FOR EACH ROW
    EXECUTE FUNCTION private.set_owner();
CREATE TRIGGER "is off" BEFORE INSERT OR UPDATE ON public.helped_not FOR EACH ROW
    EXECUTE FUNCTION private.set_owner();
ALTER TABLE public.helped_not DISABLE TRIGGER "is off";
CREATE TRIGGER changes BEFORE UPDATE ON public.helped_changing FOR EACH ROW
    EXECUTE FUNCTION private.set_owner();

-- Inputs of a request beside its claims: the session user, the client's address, and settings that
-- only a function reads.
CREATE FUNCTION private.is_staff() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN current_setting('app.staff', true) = 'on'; END $$;
CREATE FUNCTION private.says() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN false; /* current_setting('app.staff') */ END $$;
CREATE FUNCTION private.is_near() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN inet_client_addr() << '10.0.0.0/8'; END $$;
CREATE FUNCTION private.is_guest() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN (auth.jwt() ->> 'is_anonymous')::boolean; END $$;
SELECT private.make('logged_in',
    $$FOR SELECT USING (session_user = 'authenticator')$$,
    'read-leak new INCONCLUSIVE ');
SELECT private.make('logged_in_leak',
    $$FOR SELECT TO authenticated USING (session_user <> 'authenticator')$$,
    'read-leak new LEAK SUSPECTED');
SELECT private.make('from_where',
    $$FOR SELECT USING (user_id = auth.uid() OR inet_client_addr() << '10.0.0.0/8')$$,
    'read-leak new INCONCLUSIVE ');
SELECT private.make('called',
    $$FOR SELECT USING (user_id = auth.uid()
        OR current_setting('application_name') = 'back office')$$,
    'read-leak new INCONCLUSIVE ');
SELECT private.make('staff',
    $$FOR SELECT USING (user_id = auth.uid() OR private.is_staff())$$,
    'read-leak new INCONCLUSIVE ');
SELECT private.make('near',
    $$FOR SELECT USING (user_id = auth.uid() OR private.is_near())$$,
    'read-leak new INCONCLUSIVE ');
SELECT private.make('said',
    $$FOR SELECT USING (user_id = auth.uid() OR private.says())$$,
    'read-leak new ISOLATED PROVED');
SELECT private.make('guests',
    $$FOR SELECT USING (user_id = auth.uid() OR (auth.jwt() ->> 'is_anonymous')::boolean)$$,
    'read-leak new ISOLATED PROVED; read-leak guest LEAK PROVED');
SELECT private.make('guests_by_function',
    $$FOR SELECT USING (user_id = auth.uid() OR private.is_guest())$$,
    'read-leak new ISOLATED PROVED; read-leak guest LEAK PROVED');

-- An owner column of a domain type.
CREATE DOMAIN public.user_key AS uuid CHECK (VALUE IS NOT NULL);
CREATE TABLE public.domained (user_id public.user_key, note text);
INSERT INTO public.domained SELECT id FROM auth.users;
ALTER TABLE public.domained ENABLE ROW LEVEL SECURITY;
GRANT ALL ON public.domained TO authenticated;
CREATE POLICY p ON public.domained USING (auth.uid() IS NOT NULL) WITH CHECK (user_id = auth.uid());
COMMENT ON TABLE public.domained IS
    'read-leak new LEAK PROVED; forged-rows new ISOLATED PROVED; take-over new LEAK PROVED';

-- An update chooses the list by which WITH CHECK decides.
CREATE TABLE public.passed_on (user_id uuid NOT NULL REFERENCES auth.users, people uuid[]);
INSERT INTO public.passed_on SELECT id, '{}' FROM auth.users;
ALTER TABLE public.passed_on ENABLE ROW LEVEL SECURITY;
GRANT ALL ON public.passed_on TO authenticated;
CREATE POLICY p ON public.passed_on FOR UPDATE TO authenticated
    USING (user_id <> auth.uid()) WITH CHECK (auth.uid() = ANY (people));
COMMENT ON TABLE public.passed_on IS
    'tampering new LEAK OBSERVED; take-over new LEAK OBSERVED';

-- The audit compares owners with the operators of pg_catalog, not with those of the application.
CREATE FUNCTION public.never(uuid, uuid) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE FUNCTION private.open(uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN true; END $$;
SELECT private.make('operated',
    'FOR SELECT TO authenticated USING (private.open(user_id))',
    'read-leak new LEAK OBSERVED');
CREATE OPERATOR public.= (FUNCTION = public.never, LEFTARG = uuid, RIGHTARG = uuid);
CREATE OPERATOR public.<> (FUNCTION = public.never, LEFTARG = uuid, RIGHTARG = uuid);
