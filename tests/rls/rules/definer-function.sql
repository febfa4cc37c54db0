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

CREATE FUNCTION good.invoker() RETURNS SETOF bad.accounts LANGUAGE sql
    AS $$ SELECT * FROM bad.accounts $$;
CREATE FUNCTION good.not_for_clients() RETURNS SETOF bad.accounts LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT * FROM bad.accounts $$;
REVOKE EXECUTE ON FUNCTION good.not_for_clients() FROM PUBLIC;
CREATE FUNCTION private.unreachable() RETURNS SETOF bad.accounts LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT * FROM bad.accounts $$;
CREATE FUNCTION good.on_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN DELETE FROM bad.accounts; RETURN NEW; END $$;
