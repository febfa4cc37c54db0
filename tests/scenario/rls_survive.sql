-- Tables whose policies fail, leave traces or raise values. Run after rls/base.sql. The comment of
-- each table names the expected verdicts for read-leak by a new account. No report may contain the
-- word rowvalue.
INSERT INTO auth.users (id, email, raw_app_meta_data)
SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'rowvalue' || n || '@example.com',
        jsonb_build_object('plan', 'rowvalue' || n)
    FROM generate_series(1, 4) AS n;
GRANT USAGE ON SCHEMA private TO anon, authenticated;
CREATE FUNCTION private.guarded(p_name text, p_policy text, p_verdicts text) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'CREATE TABLE public.%I (
            id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            user_id uuid NOT NULL REFERENCES auth.users, note text, email text
        )', p_name);
    EXECUTE format(
        'INSERT INTO public.%I (user_id, note, email)
        SELECT id, ''rowvalue of '' || id, email FROM auth.users', p_name);
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', p_name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON public.%I TO authenticated', p_name);
    EXECUTE format('CREATE POLICY p ON public.%I USING (%s)', p_name, p_policy);
    EXECUTE format('COMMENT ON TABLE public.%I IS %L', p_name, p_verdicts);
END $$;

-- Expressions that the server runs, each of a depth that stops the audit at another step.
SELECT private.guarded('deep_' || depth,
    repeat('NOT (', depth) || 'user_id = auth.uid()' || repeat(')', depth),
    'ISOLATED INCONCLUSIVE')
FROM unnest(ARRAY[300, 800, 2000, 4000]) AS depth;
SELECT private.guarded('deep_sum',
    'user_id = auth.uid() AND 0 < ' || repeat('1 + (', 900) || 'id' || repeat(')', 900),
    'ISOLATED INCONCLUSIVE');
SELECT private.guarded('deep_query',
    'user_id = auth.uid() AND ' || repeat('EXISTS (SELECT 1 WHERE ', 150) || 'note IS NOT NULL'
        || repeat(')', 150),
    'ISOLATED INCONCLUSIVE');
-- A constant that depends on nothing, too deep for the audit.
SELECT private.guarded('deep_open', repeat('NOT (', 4000) || 'true' || repeat(')', 4000),
    'LEAK INCONCLUSIVE');

-- Functions that are broken, missing, or recurse for ever.
CREATE TABLE private.gone (a integer);
CREATE FUNCTION private.broken() RETURNS boolean LANGUAGE sql STABLE AS
    $$ SELECT EXISTS (SELECT FROM private.gone) $$;
CREATE FUNCTION private.missing() RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
CREATE FUNCTION private.recurses() RETURNS boolean LANGUAGE plpgsql STABLE AS
    $$ BEGIN RETURN private.recurses(); END $$;
SELECT private.guarded('broken', 'private.broken() AND user_id = auth.uid()', 'FAILING'),
    private.guarded('missing', 'private.missing() AND user_id = auth.uid()', 'FAILING'),
    private.guarded('recurses', 'private.recurses()', 'FAILING');
DROP TABLE private.gone;
DELETE FROM pg_proc WHERE proname = 'missing';

-- Errors with values of rows, of each class whose message a report might show.
CREATE FUNCTION private.raises(p_state text, p_note text) RETURNS boolean LANGUAGE plpgsql
    STABLE AS $$
BEGIN
    RAISE SQLSTATE '42501' USING MESSAGE = p_note, DETAIL = p_note, HINT = p_note, ERRCODE = p_state;
END $$;
CREATE FUNCTION private.composes(p_note text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    EXECUTE 'SELECT * FROM ' || quote_ident(p_note);
    RETURN true;
END $$;
CREATE FUNCTION private.executes(p_note text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    EXECUTE p_note;
    RETURN true;
END $$;
SELECT private.guarded('raises_' || state, format('private.raises(%L, note)', state),
    'FAILING INCONCLUSIVE')
FROM unnest(ARRAY['42501', '42P17', '54001', '57014', '55P03', '25006', '40001', '53200', '58030',
    '42P01', '22023', '23505', 'P0001', 'XX000']) AS state;
SELECT private.guarded('composes', 'private.composes(note)', 'FAILING'),
    private.guarded('executes', 'private.executes(note)', 'FAILING'),
    private.guarded('casts', 'note::integer > 0', 'FAILING');

-- Functions whose results are values of rows or claims, and end up in folded quals.
CREATE TABLE private.secrets (secret text);
INSERT INTO private.secrets VALUES ('rowvalue of a table');
CREATE FUNCTION private.fixed() RETURNS text LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER AS
    $$ BEGIN RETURN (SELECT s.secret FROM private.secrets AS s); END $$;
CREATE FUNCTION private.inlined() RETURNS text LANGUAGE sql STABLE AS $$ SELECT private.fixed() $$;
SELECT private.guarded('by_fixed', 'note = private.fixed()', 'ISOLATED'),
    private.guarded('by_inlined', 'note = private.inlined()', 'ISOLATED'),
    private.guarded('by_literal', 'auth.email() = private.fixed()', 'ISOLATED CLOSED'),
    private.guarded('by_email', 'email = auth.email()', 'ISOLATED'),
    private.guarded('by_plan', $$note = auth.jwt() -> 'app_metadata' ->> 'plan'$$,
        'ISOLATED CLOSED');

-- Functions with effects that a rollback does not undo, or that the client would see.
CREATE FUNCTION private.locks() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock(42), pg_advisory_lock_shared(43), pg_advisory_lock(7);
    RETURN true;
END $$;
CREATE FUNCTION private.unlocks() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_unlock_all(); RETURN true; END $$;
CREATE FUNCTION private.talks(p_note text) RETURNS boolean LANGUAGE plpgsql
    SET client_min_messages = debug1 AS $$
BEGIN
    RAISE DEBUG '%', p_note;
    RAISE NOTICE '%', p_note;
    RAISE WARNING '%', p_note;
    RAISE INFO '%', p_note;
    RETURN true;
END $$;
CREATE FUNCTION private.notifies() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY heard, 'rowvalue';
    PERFORM pg_notify('heard', 'rowvalue');
    RETURN true;
END $$;
CREATE FUNCTION private.opens() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    c refcursor;
BEGIN
    OPEN c FOR SELECT 1;
    RETURN true;
END $$;
CREATE FUNCTION private.prepares() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN EXECUTE 'PREPARE left_behind AS SELECT 1'; RETURN true; END $$;
CREATE FUNCTION private.listens() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN LISTEN left_behind; RETURN true; END $$;
CREATE FUNCTION private.sets() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.left_behind', 'x', false), set_config('work_mem', '12MB', false),
        set_config('client_min_messages', 'debug5', false);
    RETURN true;
END $$;
SELECT private.guarded(name, format('user_id = auth.uid() AND private.%s()', name),
    'ISOLATED INCONCLUSIVE')
FROM unnest(ARRAY['locks', 'unlocks', 'notifies', 'opens', 'prepares', 'listens', 'sets']) AS name;
SELECT private.guarded('talks', 'private.talks(note) AND user_id = auth.uid()', 'ISOLATED');
SELECT private.guarded('sound', 'user_id = (SELECT auth.uid())', 'ISOLATED'),
    private.guarded('open', 'true', 'LEAK');
