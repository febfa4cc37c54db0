-- Applications with teams. Users 1 to 3 are each the admin of the team of the same number; user 4
-- is in no team. Each line of private.shapes is one application: its membership table, the table
-- that trusts it, and the statement by which user 1 tries to get at rows of another team. The tests
-- compare the findings with the result of that statement in a real session.
INSERT INTO auth.users (id, email)
    SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, n || '@example.org'
    FROM generate_series(1, 4) AS n;
GRANT USAGE ON SCHEMA public, private TO authenticated;
CREATE FUNCTION private.person(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid $$;
CREATE TABLE public.teams (id integer PRIMARY KEY, is_public boolean NOT NULL, founder uuid);
INSERT INTO public.teams SELECT n, n = 3, private.person(n) FROM generate_series(1, 3) AS n;
ALTER TABLE public.teams ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON public.teams FOR SELECT TO authenticated USING (true);
GRANT SELECT ON public.teams TO authenticated;
CREATE TABLE private.invitations (team_id integer, email text);
INSERT INTO private.invitations VALUES (2, '1@example.org');
GRANT SELECT ON private.invitations TO authenticated;

CREATE TABLE private.shapes (
    name text PRIMARY KEY,
    -- The finding: rule, severity and confidence, or nothing.
    finding text NOT NULL,
    -- The check for INSERT, with M for the membership table; NULL for none.
    check_ text,
    -- The condition on the trusting table, with M and T.
    condition text NOT NULL DEFAULT 'private.is_member_of_M(team_id)',
    -- The statement of user 1, and statements of the application's developers.
    attempt text NOT NULL DEFAULT 'INSERT INTO M (team_id, user_id) VALUES (2, auth.uid())',
    extra text NOT NULL DEFAULT '',
    works boolean NOT NULL DEFAULT true
);

-- Checks that mention the team and do not bind it, and checks that do.
INSERT INTO private.shapes (name, finding, check_) VALUES
    ('first_arm', 'CRITICAL OBSERVED', 'user_id = auth.uid() OR private.is_member_of_M(team_id)'),
    ('any_number', 'CRITICAL OBSERVED', 'user_id = auth.uid() AND team_id > 0'),
    ('case_arm', 'CRITICAL OBSERVED',
        'CASE WHEN role = ''admin'' THEN private.is_member_of_M(team_id)
            ELSE user_id = auth.uid() END'),
    ('role_only', 'CRITICAL OBSERVED', 'user_id = auth.uid() AND role = ''member'''),
    ('filled_in', 'CRITICAL OBSERVED', 'user_id = auth.uid() AND coalesce(team_id, 0) <> 0'),
    ('existing_team', 'CRITICAL OBSERVED',
        'user_id = auth.uid() AND EXISTS (SELECT FROM teams AS t WHERE t.id = team_id)'),
    ('all_but_one', 'HIGH OBSERVED', 'user_id = auth.uid() AND team_id <> 1');
INSERT INTO private.shapes (name, finding, check_, works) VALUES
    ('by_admin', '', 'private.is_member_of_M(team_id)', false),
    ('by_founder', '', 'EXISTS (SELECT FROM teams AS t
        WHERE t.id = team_id AND t.founder = auth.uid())', false),
    ('one_team', '', 'user_id = auth.uid() AND team_id = 1', false),
    ('nobody', '', NULL, false),
    ('never', '', 'false', false),
    -- Some teams let everybody join.
    ('public_team', '', 'user_id = auth.uid() AND EXISTS (SELECT FROM teams AS t
        WHERE t.id = team_id AND t.is_public)', false);
-- User 1 is invited, and only user 1.
INSERT INTO private.shapes (name, finding, check_) VALUES
    ('invited', '', 'user_id = auth.uid() AND EXISTS (SELECT FROM private.invitations AS i
        WHERE i.team_id = M.team_id AND i.email = (SELECT auth.email()))');

-- Ways to trust a table that users write.
INSERT INTO private.shapes (name, finding, check_, condition) VALUES
    ('by_exists', 'CRITICAL OBSERVED', 'user_id = auth.uid()',
        'EXISTS (SELECT FROM M AS m WHERE m.team_id = T.team_id AND m.user_id = auth.uid())'),
    ('by_in', 'CRITICAL OBSERVED', 'user_id = auth.uid()',
        'team_id IN (SELECT m.team_id FROM M AS m WHERE m.user_id = (SELECT auth.uid()))'),
    ('by_join', 'CRITICAL OBSERVED', 'user_id = auth.uid()',
        'EXISTS (SELECT FROM teams AS t JOIN M AS m ON m.team_id = t.id
            WHERE t.id = T.team_id AND m.user_id = auth.uid())'),
    ('by_set', 'CRITICAL OBSERVED', 'user_id = auth.uid()',
        'team_id IN (SELECT private.teams_in_M())'),
    ('by_from', 'CRITICAL OBSERVED', 'user_id = auth.uid()',
        'EXISTS (SELECT FROM private.teams_in_M() AS t (id) WHERE t.id = T.team_id)'),
    ('by_array', 'CRITICAL OBSERVED', 'user_id = auth.uid()',
        'team_id = ANY (private.array_of_M())'),
    ('by_plpgsql', 'CRITICAL OBSERVED', 'user_id = auth.uid()', 'private.plain_M(team_id)'),
    ('by_two', 'CRITICAL OBSERVED', 'user_id = auth.uid()', 'private.outer_M(team_id)'),
    ('by_branches', 'HIGH SUSPECTED', 'user_id = auth.uid()', 'private.branches_M(team_id)');
INSERT INTO private.shapes (name, finding, check_, condition, works) VALUES
    ('signed_in', 'CRITICAL OBSERVED', 'auth.uid() IS NOT NULL',
        'team_id IN (SELECT m.team_id FROM M AS m WHERE m.user_id = auth.uid())', true),
    -- User 1 has one factor.
    ('second_factor', 'CRITICAL OBSERVED', 'auth.jwt() ->> ''aal'' = ''aal2''',
        'team_id IN (SELECT m.team_id FROM M AS m WHERE m.user_id = auth.uid())', false);

-- Rows that decide only with a status or a role.
INSERT INTO private.shapes (name, finding, check_, condition, attempt, extra, works) VALUES
    ('accepts_itself', 'CRITICAL OBSERVED', 'user_id = auth.uid()',
        'EXISTS (SELECT FROM M AS m WHERE m.team_id = T.team_id AND m.user_id = auth.uid()
            AND m.status = ''active'' AND m.left_at IS NULL)',
        'INSERT INTO M (team_id, user_id, status) VALUES (2, auth.uid(), ''active'')', '', true),
    ('waits', '', 'user_id = auth.uid()',
        'EXISTS (SELECT FROM M AS m WHERE m.team_id = T.team_id AND m.user_id = auth.uid()
            AND m.status = ''active'')',
        'INSERT INTO M (team_id, user_id) VALUES (2, auth.uid())',
        'REVOKE INSERT ON M FROM authenticated;
         GRANT INSERT (team_id, user_id) ON M TO authenticated', false),
    ('moves', 'HIGH OBSERVED', NULL, 'private.is_member_of_M(team_id)',
        'UPDATE M SET team_id = 2 WHERE user_id = auth.uid()',
        'CREATE POLICY own ON M FOR UPDATE TO authenticated USING (user_id = auth.uid())', true),
    ('stays', '', NULL, 'private.is_member_of_M(team_id)',
        'UPDATE M SET team_id = 2 WHERE user_id = auth.uid()',
        'CREATE POLICY own ON M FOR UPDATE TO authenticated USING (user_id = auth.uid())
             WITH CHECK (private.is_member_of_M(team_id))', false),
    -- The status comes later.
    ('activates', 'CRITICAL OBSERVED', 'user_id = auth.uid() AND status = ''pending''',
        'EXISTS (SELECT FROM M AS m WHERE m.team_id = T.team_id AND m.user_id = auth.uid()
            AND m.status = ''active'')',
        'INSERT INTO M (team_id, user_id) VALUES (2, auth.uid());
         UPDATE M SET status = ''active'' WHERE user_id = auth.uid()',
        'CREATE POLICY own ON M FOR UPDATE TO authenticated USING (user_id = auth.uid())', true),
    ('corrected', 'CRITICAL SUSPECTED', 'user_id = auth.uid()', 'private.is_member_of_M(team_id)',
        'INSERT INTO M (team_id, user_id) VALUES (2, auth.uid())',
        'CREATE TRIGGER refuses BEFORE INSERT ON M FOR EACH ROW
             EXECUTE FUNCTION private.refuse()', false),
    -- The rows are public, so that joining opens nothing.
    ('open_community', '', 'user_id = auth.uid()',
        'true', 'INSERT INTO M (team_id, user_id) VALUES (2, auth.uid())',
        'CREATE POLICY changed ON T FOR INSERT TO authenticated
             WITH CHECK (private.is_member_of_M(team_id))', false),
    -- Each row is about its user; nobody's access depends on it.
    ('likes', '', 'user_id = auth.uid()', 'private.in_first_team(team_id)',
        'INSERT INTO M (team_id, user_id) VALUES (2, auth.uid())', '', false);
CREATE FUNCTION private.in_first_team(team integer) RETURNS boolean LANGUAGE sql STABLE
    AS $$ SELECT team = 1 AND auth.uid() = private.person(1) $$;
CREATE FUNCTION private.refuse() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'not invited'; END $$;

-- Names of functions are replaced first: M as a word is the membership table, T the other.
CREATE FUNCTION private.named(statement text, shape text) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$
    SELECT regexp_replace(regexp_replace(regexp_replace(regexp_replace(statement,
        '_M\M', '_' || shape, 'g'), '\mM\.', shape || '_members.', 'g'),
        '\mM\M', 'public.' || shape || '_members', 'g'),
        '\mT\M', shape || '_notes', 'g')
    $$;
CREATE PROCEDURE private.build(shape private.shapes) LANGUAGE plpgsql AS $build$
DECLARE
    statement text;
BEGIN
    FOREACH statement IN ARRAY ARRAY[
        'CREATE TABLE M (team_id integer NOT NULL REFERENCES public.teams,
             user_id uuid NOT NULL REFERENCES auth.users, role text NOT NULL DEFAULT ''member'',
             status text NOT NULL DEFAULT ''pending'', left_at timestamptz,
             PRIMARY KEY (team_id, user_id))',
        'INSERT INTO M SELECT n, private.person(n), ''admin'', ''active''
             FROM generate_series(1, 3) AS n',
        'CREATE TABLE T (id integer PRIMARY KEY, team_id integer NOT NULL REFERENCES public.teams)',
        'INSERT INTO T SELECT n, n FROM generate_series(1, 3) AS n',
        'ALTER TABLE M ENABLE ROW LEVEL SECURITY',
        'ALTER TABLE T ENABLE ROW LEVEL SECURITY',
        'GRANT SELECT, INSERT, UPDATE ON M TO authenticated',
        'GRANT SELECT, INSERT ON T TO authenticated',
        'CREATE POLICY seen ON M FOR SELECT TO authenticated USING (user_id = auth.uid())',
        'CREATE FUNCTION private.is_member_of_M(_team integer) RETURNS boolean
             LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '''' AS $$
             SELECT EXISTS (SELECT 1 FROM M WHERE team_id = _team AND user_id = auth.uid()) $$',
        'CREATE FUNCTION private.teams_in_M() RETURNS SETOF integer
             LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '''' BEGIN ATOMIC
             SELECT team_id FROM M WHERE user_id = auth.uid(); END',
        'CREATE FUNCTION private.array_of_M() RETURNS integer[]
             LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '''' AS $$
             SELECT array_agg(team_id) FROM M WHERE user_id = auth.uid() $$',
        'CREATE FUNCTION private.plain_M(_team integer) RETURNS boolean
             LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '''' AS $$
             BEGIN -- the caller''s teams; no others
                 RETURN EXISTS (SELECT FROM M WHERE team_id = _team AND user_id = auth.uid());
             END; $$',
        'CREATE FUNCTION private.branches_M(_team integer) RETURNS boolean
             LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '''' AS $$
             BEGIN
                 IF EXISTS (SELECT FROM M WHERE team_id = _team AND user_id = auth.uid()) THEN
                     RETURN true;
                 END IF;
                 RETURN false;
             END; $$',
        'CREATE FUNCTION private.outer_M(_team integer) RETURNS boolean
             LANGUAGE sql STABLE SET search_path = '''' AS $$
             SELECT _team > 0 AND private.is_member_of_M(_team) $$'
    ] LOOP
        EXECUTE private.named(statement, (shape).name);
    END LOOP;
END
$build$;
DO $$
DECLARE
    shape private.shapes;
BEGIN
    FOR shape IN SELECT s.* FROM private.shapes AS s LOOP
        CALL private.build(shape);
        IF shape.check_ IS NOT NULL THEN
            EXECUTE private.named('CREATE POLICY joined ON M FOR INSERT TO authenticated
                WITH CHECK (' || shape.check_ || ')', shape.name);
        END IF;
        EXECUTE private.named('CREATE POLICY seen ON T FOR SELECT TO authenticated USING ('
            || shape.condition || ')', shape.name);
        EXECUTE private.named(shape.extra, shape.name);
    END LOOP;
END
$$;

-- Rows with a team, in one application whose members only the server adds.
CREATE TABLE public.crew (team_id integer REFERENCES public.teams,
    user_id uuid REFERENCES auth.users, PRIMARY KEY (team_id, user_id));
INSERT INTO public.crew SELECT n, private.person(n) FROM generate_series(1, 3) AS n;
ALTER TABLE public.crew ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON public.crew FOR SELECT TO authenticated USING (user_id = auth.uid());
GRANT SELECT ON public.crew TO authenticated;
CREATE FUNCTION private.in_crew(_team integer) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$ SELECT EXISTS (SELECT FROM public.crew WHERE team_id = _team AND user_id = auth.uid()) $$;
CREATE TABLE private.crossings (
    name text PRIMARY KEY,
    finding text NOT NULL,
    -- The conditions of the policies for SELECT and INSERT, and those for UPDATE.
    seen text NOT NULL DEFAULT 'private.in_crew(team_id)',
    added text,
    changed text,
    changed_to text,
    attempt text NOT NULL DEFAULT 'INSERT INTO T VALUES (9, 2, auth.uid())',
    works boolean NOT NULL
);
INSERT INTO private.crossings VALUES
    ('moved', 'HIGH OBSERVED', DEFAULT, NULL, 'private.in_crew(team_id)', 'true',
        'UPDATE T SET team_id = 2', true),
    ('posted', 'HIGH OBSERVED', DEFAULT, 'author = auth.uid()', NULL, NULL, DEFAULT, true),
    ('own_moved', 'HIGH OBSERVED', 'author = auth.uid() OR private.in_crew(team_id)',
        'author = auth.uid() AND private.in_crew(team_id)', 'author = auth.uid()', NULL,
        'UPDATE T SET team_id = 2', true),
    -- A message to the team, maybe.
    ('sent', 'MEDIUM OBSERVED', 'author = auth.uid() OR private.in_crew(team_id)',
        'author = auth.uid()', NULL, NULL, DEFAULT, true),
    ('bound', '', DEFAULT, 'author = auth.uid() AND private.in_crew(team_id)',
        'private.in_crew(team_id)', NULL, DEFAULT, false),
    ('tagged', '', 'author = auth.uid()', 'author = auth.uid()', 'author = auth.uid()', NULL,
        DEFAULT, false),
    -- One row of each user and team: a request to join.
    ('requests', '', 'author = auth.uid() OR private.in_crew(team_id)', 'author = auth.uid()',
        NULL, NULL, DEFAULT, true),
    ('forum', '', 'true', 'author = auth.uid() AND private.in_crew(team_id)', NULL, NULL, DEFAULT,
        false);
DO $$
DECLARE
    c private.crossings;
BEGIN
    FOR c IN SELECT s.* FROM private.crossings AS s LOOP
        EXECUTE format('CREATE TABLE public.%1$I (id integer PRIMARY KEY,
            team_id integer NOT NULL REFERENCES public.teams,
            author uuid NOT NULL REFERENCES auth.users);
            INSERT INTO public.%1$I SELECT n, n, private.person(n) FROM generate_series(1, 3) AS n;
            ALTER TABLE public.%1$I ENABLE ROW LEVEL SECURITY;
            GRANT SELECT, INSERT, UPDATE ON public.%1$I TO authenticated;
            CREATE POLICY seen ON public.%1$I FOR SELECT TO authenticated USING (%2$s)',
            c.name, c.seen);
        IF c.added IS NOT NULL THEN
            EXECUTE format('CREATE POLICY added ON public.%I FOR INSERT TO authenticated
                WITH CHECK (%s)', c.name, c.added);
        END IF;
        IF c.changed IS NOT NULL THEN
            EXECUTE format('CREATE POLICY changed ON public.%I FOR UPDATE TO authenticated
                USING (%s) WITH CHECK (%s)', c.name, c.changed, coalesce(c.changed_to, c.changed));
        END IF;
    END LOOP;
    ALTER TABLE public.requests ADD UNIQUE (team_id, author);
END
$$;

-- Roles in profiles.
CREATE FUNCTION private.make_profiles(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($make$
        CREATE TABLE public.%1$s (id uuid PRIMARY KEY REFERENCES auth.users,
            role text NOT NULL DEFAULT 'user', bio text);
        INSERT INTO public.%1$s (id, role)
            SELECT id, CASE WHEN id = private.person(3) THEN 'admin' ELSE 'user' END
            FROM auth.users;
        ALTER TABLE public.%1$s ENABLE ROW LEVEL SECURITY;
        GRANT SELECT ON public.%1$s TO authenticated;
        CREATE POLICY own ON public.%1$s FOR SELECT TO authenticated USING (id = auth.uid());
        CREATE POLICY changed ON public.%1$s FOR UPDATE TO authenticated USING (id = auth.uid());
        CREATE FUNCTION private.role_in_%1$s() RETURNS text
            LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
            AS 'SELECT role FROM public.%1$s WHERE id = auth.uid()';
        CREATE TABLE public.%1$s_log (id integer);
        INSERT INTO public.%1$s_log VALUES (1);
        ALTER TABLE public.%1$s_log ENABLE ROW LEVEL SECURITY;
        GRANT SELECT ON public.%1$s_log TO authenticated;
        CREATE POLICY admins ON public.%1$s_log FOR SELECT TO authenticated
            USING (private.role_in_%1$s() = 'admin')
    $make$, name);
END
$$;
SELECT private.make_profiles(name) FROM unnest(ARRAY['profiles', 'modest', 'careful']) AS p (name);
GRANT UPDATE ON public.profiles, public.careful TO authenticated;
GRANT UPDATE (bio) ON public.modest TO authenticated;
ALTER POLICY changed ON public.careful USING (id = auth.uid())
    WITH CHECK (id = auth.uid() AND role = private.role_in_careful());

-- Members are invited, and whoever wants invites.
CREATE TABLE public.self_invitations (id integer PRIMARY KEY, team_id integer NOT NULL
    REFERENCES public.teams, email text NOT NULL, invited_by uuid REFERENCES auth.users);
CREATE TABLE public.guest_crew (LIKE public.crew INCLUDING ALL);
CREATE TABLE public.guest_notes (id integer PRIMARY KEY, team_id integer REFERENCES public.teams);
INSERT INTO public.guest_crew TABLE public.crew;
INSERT INTO public.guest_notes SELECT n, n FROM generate_series(1, 3) AS n;
ALTER TABLE public.self_invitations ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.guest_crew ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.guest_notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON public.self_invitations, public.guest_crew TO authenticated;
GRANT SELECT ON public.guest_notes TO authenticated;
CREATE POLICY own ON public.self_invitations TO authenticated
    USING (email = auth.email() OR invited_by = auth.uid()) WITH CHECK (invited_by = auth.uid());
CREATE POLICY own ON public.guest_crew FOR SELECT TO authenticated USING (user_id = auth.uid());
CREATE POLICY invited ON public.guest_crew FOR INSERT TO authenticated
    WITH CHECK (user_id = auth.uid() AND EXISTS (SELECT FROM public.self_invitations AS i
        WHERE i.team_id = guest_crew.team_id AND i.email = auth.email()));
CREATE POLICY seen ON public.guest_notes FOR SELECT TO authenticated
    USING (team_id IN (SELECT c.team_id FROM public.guest_crew AS c WHERE c.user_id = auth.uid()));

-- The team of a user stands in the profile.
CREATE TABLE public.homes (id uuid PRIMARY KEY REFERENCES auth.users,
    team_id integer REFERENCES public.teams);
INSERT INTO public.homes SELECT private.person(n), n FROM generate_series(1, 3) AS n;
CREATE TABLE public.home_notes (id integer PRIMARY KEY, team_id integer REFERENCES public.teams);
INSERT INTO public.home_notes SELECT n, n FROM generate_series(1, 3) AS n;
ALTER TABLE public.homes ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.home_notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, UPDATE ON public.homes TO authenticated;
GRANT SELECT ON public.home_notes TO authenticated;
CREATE POLICY own ON public.homes TO authenticated USING (id = auth.uid());
CREATE FUNCTION private.home() RETURNS integer LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = '' AS $$ SELECT team_id FROM public.homes WHERE id = auth.uid() $$;
CREATE POLICY seen ON public.home_notes FOR SELECT TO authenticated
    USING (team_id = (SELECT private.home()));

-- Chats that their owner shares. A client shares only chats of its own.
CREATE TABLE public.chats (id integer PRIMARY KEY, user_id uuid NOT NULL REFERENCES auth.users,
    sharing text NOT NULL);
CREATE TABLE public.lines (id integer PRIMARY KEY, chat_id integer NOT NULL REFERENCES public.chats,
    user_id uuid NOT NULL REFERENCES auth.users);
INSERT INTO public.chats SELECT n, private.person(n), 'private' FROM generate_series(1, 3) AS n;
INSERT INTO public.lines SELECT n, n, private.person(n) FROM generate_series(1, 3) AS n;
ALTER TABLE public.chats ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.lines ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON public.chats, public.lines TO authenticated;
CREATE POLICY own ON public.chats TO authenticated USING (user_id = auth.uid());
CREATE POLICY shared ON public.chats FOR SELECT TO authenticated USING (sharing <> 'private');
CREATE POLICY own ON public.lines TO authenticated USING (user_id = auth.uid());
CREATE POLICY shared ON public.lines FOR SELECT TO authenticated
    USING (chat_id IN (SELECT c.id FROM public.chats AS c WHERE c.sharing <> 'private'));
