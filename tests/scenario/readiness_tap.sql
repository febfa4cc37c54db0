-- Tests in pgTAP, which plans and counts in temporary tables.
CREATE SCHEMA tap;
GRANT USAGE ON SCHEMA tap TO authenticated;
CREATE FUNCTION tap.passes() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT plan(2);
    RETURN NEXT ok(true, 'one');
    RETURN NEXT is(current_user::text, 'authenticated', 'two');
    RETURN QUERY SELECT * FROM finish();
END $$;
CREATE FUNCTION tap.fails() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT plan(2);
    RETURN NEXT ok(true, 'one');
    RETURN NEXT is(1, 2, 'two');
    RETURN QUERY SELECT * FROM finish();
END $$;
CREATE FUNCTION tap.falls_short() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT plan(3);
    RETURN NEXT ok(true, 'one');
    RETURN QUERY SELECT * FROM finish();
END $$;
CREATE FUNCTION tap.skips() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT plan(2);
    RETURN NEXT ok(true, 'one');
    RETURN NEXT skip('no network', 1);
    RETURN QUERY SELECT * FROM finish();
END $$;
CREATE FUNCTION tap.skips_all() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT plan(2);
    RETURN NEXT skip('no network', 2);
    RETURN QUERY SELECT * FROM finish();
END $$;
CREATE FUNCTION tap.todo() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT plan(2);
    RETURN NEXT ok(true, 'one');
    RETURN NEXT todo_start('later');
    RETURN NEXT ok(false, 'two');
    RETURN NEXT todo_end();
    RETURN QUERY SELECT * FROM finish();
END $$;
CREATE FUNCTION tap.throws() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT no_plan();
    RETURN NEXT throws_ok('SELECT 1 / 0', '22012');
    RETURN NEXT lives_ok('CREATE TEMPORARY TABLE scratch (n int)');
    RETURN QUERY SELECT * FROM finish();
END $$;
CREATE FUNCTION tap.test_inner() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT ok(true, 'x');
    RETURN NEXT ok(true, 'y');
END $$;
CREATE FUNCTION tap.nested() RETURNS SETOF text LANGUAGE sql AS
    $$ SELECT * FROM runtests('tap'::name) $$;
CREATE FUNCTION tap.bails_out() RETURNS SETOF text LANGUAGE sql AS
    $$ VALUES ('1..1'), ('Bail out!  no database') $$;
CREATE FUNCTION tap.prepares() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT plan(1);
    EXECUTE 'PREPARE left_behind AS SELECT 1';
    RETURN NEXT ok(true);
END $$;
