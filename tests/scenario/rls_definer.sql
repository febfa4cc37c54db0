-- Definer functions whose comments say the severity and confidence that the audit reports, whether
-- a stranger gets data of another user, and a call that a real session tries as that stranger.
INSERT INTO auth.users (id, email)
SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'user' || n || '@example.com'
    FROM generate_series(1, 6) AS n;
GRANT USAGE ON SCHEMA public TO anon, authenticated;
CREATE TABLE public.letters (
    id integer PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES auth.users,
    body text,
    share_token text NOT NULL
);
INSERT INTO public.letters
SELECT row_number() OVER (), id, 'letter of ' || email, md5(email) FROM auth.users;
ALTER TABLE public.letters ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.letters TO authenticated;
CREATE POLICY own ON public.letters USING (user_id = (SELECT auth.uid()));
CREATE TABLE public.stops (
    id integer PRIMARY KEY,
    name text,
    created_by uuid REFERENCES auth.users
);
INSERT INTO public.stops SELECT row_number() OVER (), email, id FROM auth.users;
ALTER TABLE public.stops ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON public.stops TO anon, authenticated;
CREATE POLICY everybody ON public.stops FOR SELECT USING (true);
CREATE TABLE public.rooms (
    room integer NOT NULL,
    user_id uuid NOT NULL REFERENCES auth.users,
    PRIMARY KEY (room, user_id)
);
INSERT INTO public.rooms
SELECT row_number() OVER (ORDER BY id) / 3, id FROM auth.users;
ALTER TABLE public.rooms ENABLE ROW LEVEL SECURITY;
CREATE TABLE private.notes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    owner_id text,
    body text
);
INSERT INTO private.notes (owner_id, body) SELECT id::text, 'note' FROM auth.users;

-- The argument decides, not the identity.
CREATE FUNCTION public.letter(p_id integer) RETURNS SETOF public.letters
    LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT * FROM public.letters WHERE id = p_id $$;
COMMENT ON FUNCTION public.letter IS 'CRITICAL OBSERVED leak public.letter(2)';
CREATE FUNCTION public.one_letter(p_id integer) RETURNS public.letters
    LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT * FROM public.letters WHERE id = p_id $$;
COMMENT ON FUNCTION public.one_letter IS 'CRITICAL OBSERVED leak public.one_letter(2)';
CREATE FUNCTION public.letters_of(p_user uuid, p_limit integer DEFAULT 20)
    RETURNS TABLE (id integer, body text) LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
    BEGIN IF auth.uid() IS NULL THEN RAISE EXCEPTION 'sign in'; END IF;
        RETURN QUERY SELECT l.id, l.body FROM public.letters AS l
            WHERE l.user_id = p_user LIMIT p_limit; END $$;
COMMENT ON FUNCTION public.letters_of IS 'CRITICAL OBSERVED leak
    public.letters_of(''00000000-0000-4000-8000-000000000002'')';
CREATE FUNCTION public.letters_by_text(p_user text) RETURNS json
    LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT json_agg(l) FROM public.letters AS l WHERE l.user_id::text = p_user $$;
COMMENT ON FUNCTION public.letters_by_text IS 'CRITICAL OBSERVED leak
    public.letters_by_text(''00000000-0000-4000-8000-000000000002'')';
CREATE FUNCTION public.letters_or_mine(p_user uuid DEFAULT NULL) RETURNS SETOF public.letters
    LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT * FROM public.letters WHERE user_id = coalesce(p_user, auth.uid()) $$;
COMMENT ON FUNCTION public.letters_or_mine IS 'CRITICAL OBSERVED leak
    public.letters_or_mine(''00000000-0000-4000-8000-000000000002'')';
CREATE FUNCTION public.letters_of_all(p_users uuid[]) RETURNS SETOF public.letters
    LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT * FROM public.letters WHERE user_id = ANY (p_users) $$;
COMMENT ON FUNCTION public.letters_of_all IS 'CRITICAL OBSERVED leak
    public.letters_of_all(ARRAY[''00000000-0000-4000-8000-000000000002''::uuid])';
CREATE FUNCTION public.asked(p_id integer) RETURNS SETOF public.letters
    LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
    DECLARE v_note text := 'asked by ' || auth.uid()::text;
    BEGIN RETURN QUERY SELECT * FROM public.letters WHERE id = p_id OR body = v_note; END $$;
COMMENT ON FUNCTION public.asked IS 'CRITICAL OBSERVED leak public.asked(2)';
CREATE FUNCTION public.all_letters() RETURNS SETOF public.letters
    LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT * FROM public.letters WHERE auth.role() = 'authenticated' $$;
COMMENT ON FUNCTION public.all_letters IS 'CRITICAL OBSERVED leak public.all_letters()';
CREATE FUNCTION public.note(p_id uuid) RETURNS SETOF private.notes
    LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT * FROM private.notes WHERE id = p_id $$;
COMMENT ON FUNCTION public.note IS 'CRITICAL OBSERVED leak
    (SELECT public.note(id) FROM public.any_note AS id)';
CREATE VIEW public.any_note AS SELECT id FROM private.notes WHERE owner_id LIKE '%2';
GRANT SELECT ON public.any_note TO authenticated;
CREATE FUNCTION public.is_in_room(p_room integer, p_user uuid) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT EXISTS (SELECT FROM public.rooms WHERE room = p_room AND user_id = p_user) $$;
COMMENT ON FUNCTION public.is_in_room IS 'MEDIUM OBSERVED leak
    public.is_in_room(0, ''00000000-0000-4000-8000-000000000002'')';
-- Every account gets it, a new one does not.
CREATE FUNCTION public.for_accounts(p_id integer) RETURNS SETOF public.letters
    LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT * FROM public.letters
        WHERE id = p_id AND EXISTS (SELECT FROM auth.users WHERE auth.users.id = auth.uid()) $$;
COMMENT ON FUNCTION public.for_accounts IS 'HIGH OBSERVED safe public.for_accounts(2)';

-- The function checks the identity.
CREATE FUNCTION public.my_letter(p_id integer) RETURNS SETOF public.letters
    LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT * FROM public.letters WHERE id = p_id AND user_id = auth.uid() $$;
COMMENT ON FUNCTION public.my_letter IS 'INFO OBSERVED safe public.my_letter(2)';
CREATE FUNCTION public.my_letters_of(p_user uuid) RETURNS SETOF public.letters
    LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
    BEGIN IF p_user IS DISTINCT FROM auth.uid() THEN RAISE EXCEPTION 'not yours'; END IF;
        RETURN QUERY SELECT * FROM public.letters WHERE user_id = p_user; END $$;
COMMENT ON FUNCTION public.my_letters_of IS 'INFO OBSERVED safe
    public.my_letters_of(''00000000-0000-4000-8000-000000000002'')';
-- The check is out of sight: the rule cannot read it, the calls can.
CREATE FUNCTION public.by_statement(p_id integer) RETURNS SETOF public.letters
    LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$ BEGIN RETURN QUERY EXECUTE
        'SELECT * FROM public.letters WHERE id = $1 AND user_id = auth.' || 'uid()' USING p_id;
    END $$;
COMMENT ON FUNCTION public.by_statement IS 'INFO OBSERVED safe public.by_statement(2)';
CREATE FUNCTION public.letters_of_my_room() RETURNS SETOF public.letters
    LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT l.* FROM public.letters AS l
        JOIN public.rooms AS theirs ON theirs.user_id = l.user_id
        JOIN public.rooms AS mine ON mine.room = theirs.room AND mine.user_id = auth.uid() $$;
COMMENT ON FUNCTION public.letters_of_my_room IS 'INFO OBSERVED safe public.letters_of_my_room()';

-- Public data.
CREATE FUNCTION public.stop(p_id integer) RETURNS SETOF public.stops
    LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT * FROM public.stops WHERE id = p_id $$;
COMMENT ON FUNCTION public.stop IS 'INFO OBSERVED leak public.stop(2)';
CREATE FUNCTION public.all_stops() RETURNS SETOF public.stops
    LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT * FROM public.stops $$;
COMMENT ON FUNCTION public.all_stops IS 'INFO OBSERVED leak public.all_stops()';
-- The account's id finds a row of the accounts, too, but the stops are returned.
CREATE FUNCTION public.stops_by(p_user uuid) RETURNS SETOF public.stops
    LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
    BEGIN IF NOT EXISTS (SELECT FROM auth.users WHERE auth.users.id = auth.uid()) THEN RETURN;
        END IF; RETURN QUERY SELECT * FROM public.stops WHERE created_by = p_user; END $$;
COMMENT ON FUNCTION public.stops_by IS 'INFO OBSERVED safe
    public.stops_by(''00000000-0000-4000-8000-000000000002'')';

-- Not called, or the calls show nothing.
CREATE FUNCTION public.letter_slowly(p_id integer) RETURNS SETOF public.letters
    LANGUAGE sql SECURITY DEFINER AS $$ SELECT * FROM public.letters WHERE id = p_id $$;
COMMENT ON FUNCTION public.letter_slowly IS 'HIGH SUSPECTED leak public.letter_slowly(2)';
CREATE FUNCTION public.search_letters(p_filter jsonb) RETURNS SETOF public.letters
    LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT * FROM public.letters WHERE id = (p_filter ->> 'id')::integer $$;
COMMENT ON FUNCTION public.search_letters
    IS 'HIGH SUSPECTED leak public.search_letters(''{"id": 2}'')';
CREATE FUNCTION public.shared_letter(p_token text) RETURNS SETOF public.letters
    LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT * FROM public.letters WHERE share_token = p_token $$;
COMMENT ON FUNCTION public.shared_letter
    IS 'HIGH SUSPECTED leak public.shared_letter(md5(''user2@example.com''))';
CREATE FUNCTION public.count_letters() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT count(*) FROM public.letters $$;
COMMENT ON FUNCTION public.count_letters IS 'MEDIUM SUSPECTED leak public.count_letters()';
CREATE FUNCTION public.slow_letter(p_id integer) RETURNS SETOF public.letters
    LANGUAGE sql STABLE SECURITY DEFINER
    AS $$ SELECT l.* FROM public.letters AS l, pg_sleep(5) WHERE id = p_id $$;
COMMENT ON FUNCTION public.slow_letter IS 'HIGH SUSPECTED';
CREATE FUNCTION public.stealing(p_id integer) RETURNS SETOF public.letters
    LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
    BEGIN PERFORM set_config('role', 'postgres', false);
        RETURN QUERY SELECT * FROM public.letters WHERE id = p_id; END $$;
COMMENT ON FUNCTION public.stealing IS 'HIGH SUSPECTED';
CREATE PROCEDURE public.purge(p_id integer) LANGUAGE sql SECURITY DEFINER
    AS $$ DELETE FROM public.letters WHERE id = p_id $$;
COMMENT ON PROCEDURE public.purge IS 'HIGH SUSPECTED';
