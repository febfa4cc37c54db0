-- Roles, claims, accounts and teams that the policies of the generated tables use. Accounts have
-- metadata or none. Policies read teams from an open table, from a table with row-level security,
-- and by SECURITY DEFINER functions.
CREATE ROLE anon NOLOGIN;
CREATE ROLE authenticated NOLOGIN INHERIT;
CREATE ROLE members NOLOGIN;
GRANT members TO authenticated;
CREATE ROLE staff NOLOGIN;
CREATE ROLE webapp NOLOGIN;
CREATE ROLE authenticator LOGIN NOINHERIT;
GRANT anon, authenticated, webapp TO authenticator;

CREATE SCHEMA auth;
CREATE TABLE auth.users (
    id uuid PRIMARY KEY,
    email text UNIQUE,
    raw_app_meta_data jsonb,
    raw_user_meta_data jsonb,
    is_anonymous boolean NOT NULL DEFAULT false
);
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;
CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')
$$;
CREATE FUNCTION auth.email() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
$$;

INSERT INTO auth.users VALUES
    ('00000000-0000-4000-8000-000000000001', 'a@example.com',
        '{"role": "admin", "team": 1, "friends": '
        '"00000000-0000-4000-8000-000000000002,00000000-0000-4000-8000-000000000003"}', '{}'),
    ('00000000-0000-4000-8000-000000000002', 'b@example.com', '{"team": 1}', '{"role": "admin"}'),
    ('00000000-0000-4000-8000-000000000003', 'c@example.com', '{"team": 2}', NULL),
    ('00000000-0000-4000-8000-000000000004', NULL, NULL, '{"plan": "pro"}'),
    ('00000000-0000-4000-8000-000000000005', 'e@example.com',
        '{"team": 2, "friends": "00000000-0000-4000-8000-000000000001"}', '{}'),
    ('00000000-0000-4000-8000-000000000006', 'f@example.com',
        '{"role": "editor"}', '{"role": "admin", "plan": "pro"}');
INSERT INTO auth.users VALUES ('00000000-0000-4000-8000-000000000007', NULL, '{}', '{}', true);

GRANT USAGE ON SCHEMA auth TO anon, authenticated, staff, webapp;

CREATE SCHEMA private;
CREATE TABLE private.memberships (user_id uuid NOT NULL, team integer NOT NULL);
INSERT INTO private.memberships
SELECT ('00000000-0000-4000-8000-00000000000' || u)::uuid, t
FROM (VALUES (1, 1), (1, 2), (2, 1), (3, 2), (4, 2), (5, 3)) AS v (u, t);
GRANT SELECT ON private.memberships TO anon, authenticated, staff;
CREATE TABLE private.secured_memberships (LIKE private.memberships);
INSERT INTO private.secured_memberships SELECT * FROM private.memberships;
ALTER TABLE private.secured_memberships ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON private.secured_memberships FOR SELECT USING (user_id = auth.uid());
GRANT SELECT ON private.secured_memberships TO authenticated, webapp;

CREATE FUNCTION private.my_teams() RETURNS SETOF integer LANGUAGE sql STABLE
    SECURITY DEFINER
    SET search_path = '' AS $$
    SELECT team FROM private.memberships WHERE user_id = auth.uid()
$$;
CREATE FUNCTION private.is_member(p_team integer) RETURNS boolean LANGUAGE sql STABLE
    SECURITY DEFINER
    SET search_path = '' AS $$
    SELECT EXISTS (SELECT FROM private.memberships WHERE user_id = auth.uid() AND team = p_team)
$$;
CREATE FUNCTION private.is_mine(p_owner uuid) RETURNS boolean LANGUAGE plpgsql STABLE
    AS $$ BEGIN RETURN p_owner = auth.uid(); END $$;
CREATE FUNCTION private.is_mine_inlined(p_owner uuid) RETURNS boolean LANGUAGE sql STABLE
    AS $$ SELECT p_owner = auth.uid() $$;
CREATE FUNCTION private.stable_true() RETURNS boolean LANGUAGE plpgsql STABLE
    AS $$ BEGIN RETURN true; END $$;
CREATE FUNCTION private.stable_false() RETURNS boolean LANGUAGE plpgsql STABLE
    AS $$ BEGIN RETURN false; END $$;
CREATE FUNCTION private.volatile_true() RETURNS boolean LANGUAGE plpgsql VOLATILE
    AS $$ BEGIN RETURN true; END $$;
CREATE FUNCTION private.volatile_false() RETURNS boolean LANGUAGE plpgsql VOLATILE
    AS $$ BEGIN RETURN false; END $$;
CREATE FUNCTION private.volatile_of_row(p_public boolean) RETURNS boolean LANGUAGE plpgsql VOLATILE
    AS $$ BEGIN RETURN p_public; END $$;
CREATE FUNCTION private.raising() RETURNS boolean LANGUAGE plpgsql STABLE
    AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
