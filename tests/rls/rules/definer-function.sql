CREATE TABLE bad.accounts (id int, user_id uuid, email text);
ALTER TABLE bad.accounts ENABLE ROW LEVEL SECURITY;
CREATE TABLE bad."Odd ""name""" (id int);
ALTER TABLE bad."Odd ""name""" ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON bad."Odd ""name""" TO anon, authenticated;

CREATE FUNCTION bad.get_account(p_id int) RETURNS bad.accounts LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT * FROM bad.accounts WHERE id = p_id $$;
COMMENT ON FUNCTION bad.get_account IS 'leak HIGH';
CREATE FUNCTION bad."Get ""all""" () RETURNS SETOF int LANGUAGE sql STABLE SECURITY DEFINER
    BEGIN ATOMIC SELECT id FROM bad."Odd ""name"""; END;
COMMENT ON FUNCTION bad."Get ""all"""
    IS 'leak HIGH: a parsed body; clients may read the table, so it need not be SECURITY DEFINER';
CREATE FUNCTION bad.rename(p_id int, p_email text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = bad, pg_temp
    AS $$ BEGIN -- auth.uid() is named only in comments
    /* nor */ UPDATE accounts SET email = p_email WHERE id = p_id; /* auth.uid() */ END $$;
COMMENT ON FUNCTION bad.rename IS 'leak HIGH: it writes';
CREATE PROCEDURE bad.purge() LANGUAGE sql SECURITY DEFINER AS $$ DELETE FROM bad.accounts $$;
COMMENT ON PROCEDURE bad.purge() IS 'leak HIGH';
CREATE FUNCTION private.all_accounts() RETURNS SETOF bad.accounts LANGUAGE sql
    AS $$ SELECT * FROM bad.accounts $$;
CREATE FUNCTION bad.through_another() RETURNS SETOF bad.accounts LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT * FROM private.all_accounts() $$;
COMMENT ON FUNCTION bad.through_another IS 'leak HIGH: a called function reads the table';
CREATE TABLE private.role (name text);
CREATE FUNCTION bad.note_role() RETURNS SETOF bad.accounts LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN INSERT INTO private.role (name) VALUES (current_setting('TimeZone'));
        RETURN QUERY SELECT * FROM bad.accounts; END $$;
COMMENT ON FUNCTION bad.note_role
    IS 'leak HIGH: a table called role and the time zone are no identity';
CREATE FUNCTION bad.is_taken(p_email text) RETURNS bool LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT EXISTS (SELECT 1 FROM bad.accounts WHERE email = p_email) $$;
COMMENT ON FUNCTION bad.is_taken IS 'leak MEDIUM: returns yes or no';
CREATE FUNCTION bad.run(p_table text) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
    AS $$ DECLARE n int; BEGIN EXECUTE format('SELECT count(*) FROM %I', p_table) INTO n; RETURN n;
    END $$;
COMMENT ON FUNCTION bad.run IS 'leak MEDIUM: builds statements';
CREATE FUNCTION bad.my_account() RETURNS bad.accounts LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT * FROM bad.accounts WHERE user_id = (SELECT auth.uid()) $$;
COMMENT ON FUNCTION bad.my_account IS 'leak INFO: checks the identity';
CREATE FUNCTION private.me() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT auth.uid() $$;
CREATE FUNCTION bad.my_account_too() RETURNS bad.accounts LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT * FROM bad.accounts WHERE user_id = private.me() $$;
COMMENT ON FUNCTION bad.my_account_too IS 'leak INFO: checks the identity in a called function';
CREATE FUNCTION bad.my_account_by_setting() RETURNS bad.accounts
    LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT * FROM bad.accounts
        WHERE user_id::text = current_setting( 'request.jwt.claims', true)::jsonb ->> 'sub' $$;
COMMENT ON FUNCTION bad.my_account_by_setting IS 'leak INFO: checks the identity by the setting';
CREATE FUNCTION bad.one() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
COMMENT ON FUNCTION bad.one IS 'leak INFO: reads nothing';
-- Somebody is signed in: no check of the identity.
CREATE FUNCTION bad.for_members(p_id int) RETURNS SETOF bad.accounts
    LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT * FROM bad.accounts WHERE id = p_id AND auth.uid() IS NOT NULL $$;
COMMENT ON FUNCTION bad.for_members IS 'leak HIGH: any account';
CREATE FUNCTION bad.for_second_factors(p_id int) RETURNS SETOF bad.accounts
    LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT * FROM bad.accounts WHERE id = p_id AND auth.jwt() ->> 'aal' = 'aal2' $$;
COMMENT ON FUNCTION bad.for_second_factors IS 'leak HIGH: any account with a second factor';
CREATE FUNCTION bad.for_the_role(p_id int) RETURNS SETOF bad.accounts
    LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
    BEGIN IF (SELECT auth.role()) <> 'authenticated' THEN RAISE EXCEPTION 'sign in'; END IF;
        RETURN QUERY SELECT * FROM bad.accounts WHERE id = p_id; END $$;
COMMENT ON FUNCTION bad.for_the_role IS 'leak HIGH: any account';
CREATE FUNCTION bad.by_variable(p_user uuid) RETURNS SETOF bad.accounts
    LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE v_me uuid := auth.uid(); v_role text;
    BEGIN SELECT auth.jwt() ->> 'role' INTO v_role;
        IF v_me IS NULL OR v_role = 'anon' THEN RAISE EXCEPTION 'sign in'; END IF;
        RAISE LOG 'asked by %', auth.uid();
        RETURN QUERY SELECT * FROM bad.accounts WHERE user_id = p_user; END $$;
COMMENT ON FUNCTION bad.by_variable IS 'leak HIGH: the argument decides, not the identity';
CREATE FUNCTION bad.of_somebody(p_user uuid DEFAULT NULL) RETURNS SETOF bad.accounts
    LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT * FROM bad.accounts WHERE user_id = coalesce(p_user, auth.uid()) $$;
COMMENT ON FUNCTION bad.of_somebody IS 'leak HIGH: the argument replaces the identity';
CREATE FUNCTION private.require_sign_in() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN IF auth.uid() IS NULL THEN RAISE EXCEPTION 'sign in'; END IF; END $$;
CREATE FUNCTION bad.after_sign_in() RETURNS SETOF bad.accounts LANGUAGE plpgsql SECURITY DEFINER
    AS $$ BEGIN PERFORM private.require_sign_in(); RETURN QUERY SELECT * FROM bad.accounts; END $$;
COMMENT ON FUNCTION bad.after_sign_in IS 'leak HIGH: any account, by a called function';
CREATE TABLE private.visits (user_id uuid);
CREATE FUNCTION bad.logged(p_id int) RETURNS SETOF bad.accounts LANGUAGE plpgsql SECURITY DEFINER
    AS $$ BEGIN INSERT INTO private.visits VALUES (auth.uid());
        RETURN QUERY SELECT * FROM bad.accounts WHERE id = p_id; END $$;
COMMENT ON FUNCTION bad.logged IS 'leak HIGH: the identity is only logged';
CREATE FUNCTION bad.add_account(p_email text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    AS $$ BEGIN INSERT INTO bad.accounts (user_id, email) VALUES (auth.uid(), p_email); END $$;
COMMENT ON FUNCTION bad.add_account IS 'leak INFO: the new row belongs to the caller';
CREATE FUNCTION bad.by_variable_too() RETURNS SETOF bad.accounts
    LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE v_me uuid;
    BEGIN v_me := auth.uid();
        IF v_me IS NULL THEN RAISE EXCEPTION 'sign in'; END IF;
        RETURN QUERY SELECT * FROM bad.accounts WHERE user_id = v_me; END $$;
COMMENT ON FUNCTION bad.by_variable_too IS 'leak INFO: checks the identity by a variable';
CREATE FUNCTION bad.for_the_service(p_id int) RETURNS SETOF bad.accounts
    LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN IF auth.role() <> 'service_role' THEN RAISE EXCEPTION 'no'; END IF;
        RETURN QUERY SELECT * FROM bad.accounts WHERE id = p_id; END $$;
COMMENT ON FUNCTION bad.for_the_service IS 'leak INFO: not for client roles';
-- Row-level security applies to the owner, but a policy admits it to every row.
CREATE ROLE app_owner NOLOGIN;
GRANT USAGE ON SCHEMA bad TO app_owner;
GRANT SELECT ON bad.accounts TO app_owner;
CREATE POLICY app ON bad.accounts FOR SELECT TO app_owner USING (true);
CREATE FUNCTION bad.as_app() RETURNS SETOF bad.accounts LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT * FROM bad.accounts $$;
ALTER FUNCTION bad.as_app() OWNER TO app_owner;
COMMENT ON FUNCTION bad.as_app IS 'leak HIGH: a policy for the owner';
CREATE TABLE bad.orders (id int, user_id uuid);
ALTER TABLE bad.orders ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON bad.orders TO app_owner;
CREATE POLICY app ON bad.orders USING (user_id = auth.uid());
CREATE POLICY app_too ON bad.orders USING (current_user = 'app_owner');
CREATE FUNCTION bad.as_current_user() RETURNS SETOF bad.orders LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT * FROM bad.orders $$;
ALTER FUNCTION bad.as_current_user() OWNER TO app_owner;
COMMENT ON FUNCTION bad.as_current_user IS 'leak HIGH: a policy that names the owner';
CREATE ROLE staff NOLOGIN;
GRANT staff TO app_owner;
CREATE TABLE bad.returns (id int, user_id uuid);
ALTER TABLE bad.returns ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON bad.returns TO app_owner;
CREATE POLICY staff ON bad.returns USING (pg_has_role(current_user, 'staff', 'MEMBER'));
CREATE FUNCTION bad.as_member() RETURNS SETOF bad.returns LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT * FROM bad.returns $$;
ALTER FUNCTION bad.as_member() OWNER TO app_owner;
COMMENT ON FUNCTION bad.as_member IS 'leak HIGH: a policy that names a role of the owner';
CREATE FUNCTION private.behind_a_view() RETURNS SETOF bad.accounts LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT * FROM bad.accounts $$;
CREATE VIEW bad.listing AS SELECT * FROM private.behind_a_view();
GRANT SELECT ON bad.listing TO authenticated;
COMMENT ON FUNCTION private.behind_a_view IS 'leak MEDIUM: a view calls it for clients';
-- The policy for the owner checks the identity, names another role, or a restrictive policy checks
-- it. The owner has no privilege on the table.
CREATE TABLE private.bills (id int, user_id uuid, clerk text);
ALTER TABLE private.bills ENABLE ROW LEVEL SECURITY;
GRANT USAGE ON SCHEMA private TO app_owner;
GRANT SELECT ON private.bills TO app_owner;
CREATE POLICY app ON private.bills TO app_owner USING (user_id = (SELECT auth.uid()));
CREATE POLICY clerk ON private.bills USING (current_user <> 'app_owner' OR clerk = current_user);
CREATE FUNCTION bad.bills() RETURNS SETOF private.bills LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT * FROM private.bills $$;
ALTER FUNCTION bad.bills() OWNER TO app_owner;
COMMENT ON FUNCTION bad.bills IS 'leak INFO: the policies check the identity';
CREATE TABLE private.shifts (id int, user_id uuid);
ALTER TABLE private.shifts ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON private.shifts TO app_owner;
CREATE POLICY app ON private.shifts TO app_owner USING (true);
CREATE POLICY own ON private.shifts AS RESTRICTIVE USING (user_id = (SELECT auth.uid()));
CREATE FUNCTION bad.shifts() RETURNS SETOF private.shifts LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT * FROM private.shifts $$;
ALTER FUNCTION bad.shifts() OWNER TO app_owner;
COMMENT ON FUNCTION bad.shifts IS 'leak INFO: a restrictive policy checks the identity';
CREATE ROLE mirror NOLOGIN BYPASSRLS;
CREATE FUNCTION bad.no_privilege() RETURNS SETOF bad.accounts LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT * FROM bad.accounts $$;
ALTER FUNCTION bad.no_privilege() OWNER TO mirror;
COMMENT ON FUNCTION bad.no_privilege IS 'leak INFO: callers get 42501';
-- A policy calls it: no REVOKE is proposed, which would break the policy.
CREATE FUNCTION bad.is_listed(p_id int) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT EXISTS (SELECT FROM bad.accounts WHERE id = p_id) $$;
COMMENT ON FUNCTION bad.is_listed IS 'leak MEDIUM: returns yes or no';
CREATE TABLE private.gate (id int);
CREATE POLICY listed ON private.gate USING (bad.is_listed(id));

CREATE FUNCTION good.invoker() RETURNS SETOF bad.accounts LANGUAGE sql
    AS $$ SELECT * FROM bad.accounts $$;
CREATE FUNCTION good.not_for_clients() RETURNS SETOF bad.accounts LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT * FROM bad.accounts $$;
REVOKE EXECUTE ON FUNCTION good.not_for_clients() FROM PUBLIC;
CREATE FUNCTION private.unreachable() RETURNS SETOF bad.accounts LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT * FROM bad.accounts $$;
CREATE FUNCTION good.on_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN DELETE FROM bad.accounts; RETURN NEW; END $$;
