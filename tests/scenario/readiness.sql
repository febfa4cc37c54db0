-- Misbehaving end-to-end tests. The scenario registers each function under its own name.
CREATE SCHEMA trial;
GRANT USAGE ON SCHEMA trial TO authenticated, service_role;
CREATE TABLE trial.things (
    id integer PRIMARY KEY,
    parent integer REFERENCES trial.things DEFERRABLE INITIALLY DEFERRED
);
GRANT ALL ON trial.things TO authenticated;
CREATE FUNCTION trial.passes() RETURNS void LANGUAGE sql AS 'INSERT INTO trial.things VALUES (1)';
CREATE FUNCTION trial.hangs() RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(60)';
CREATE FUNCTION trial.hangs_on() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(60);
EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(60);
END
$$;
CREATE FUNCTION trial.raises() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no match was made' USING ERRCODE = 'CS001'; END $$;
CREATE FUNCTION trial.says_no() RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE FUNCTION trial.says_nothing() RETURNS boolean LANGUAGE sql AS 'SELECT NULL::boolean';
CREATE FUNCTION trial.says_not_ok() RETURNS SETOF text LANGUAGE sql AS
    $$ VALUES ('ok 1 - a'), ('not ok 2 - b') $$;
CREATE FUNCTION trial.no_lines() RETURNS SETOF text LANGUAGE sql AS 'SELECT NULL::text WHERE false';
CREATE FUNCTION trial.commits() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO trial.things VALUES (2); COMMIT; END $$;
CREATE FUNCTION trial.commits_by_plan() RETURNS TABLE (step text, statement text) LANGUAGE sql AS
    $$ VALUES ('insert', 'INSERT INTO trial.things VALUES (3)'), ('commit', 'COMMIT') $$;
CREATE FUNCTION trial.drops_itself() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    DROP FUNCTION trial.drops_itself();
    DROP TABLE trial.things;
    RAISE EXCEPTION 'dropped';
END
$$;
CREATE FUNCTION trial.escapes() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN RESET ROLE; INSERT INTO trial.things VALUES (4); END $$;
CREATE FUNCTION trial.escapes_by_plan() RETURNS TABLE (step text, role text, statement text)
    LANGUAGE sql AS
    $$ VALUES ('as superuser', 'postgres', 'INSERT INTO trial.things VALUES (5)') $$;
CREATE FUNCTION trial.prepares() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE 'PREPARE left_behind AS SELECT 1'; END $$;
CREATE FUNCTION trial.defers() RETURNS void LANGUAGE sql AS
    'INSERT INTO trial.things VALUES (6, 7)';
CREATE FUNCTION trial.no_steps() RETURNS TABLE (step text, statement text) LANGUAGE sql AS
    $$ SELECT 'a', 'b' WHERE false $$;
CREATE FUNCTION trial.stops_half_way() RETURNS TABLE (step text, statement text) LANGUAGE sql AS $$
    VALUES ('begin', 'INSERT INTO trial.things VALUES (8)'),
        ('see it', 'SELECT count(*) = 1 FROM trial.things'),
        ('see nothing', 'SELECT count(*) = 0 FROM trial.things'), ('never', 'SELECT true')
$$;
CREATE FUNCTION trial.no_rows() RETURNS TABLE (step text, statement text) LANGUAGE sql AS
    $$ VALUES ('empty', 'SELECT true WHERE false') $$;
CREATE FUNCTION trial.is_dropped() RETURNS void LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION trial.is_anothers() RETURNS void LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION trial.raises_cancel() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'stopped' USING ERRCODE = 'query_canceled'; END $$;
CREATE FUNCTION trial.has_no_statement() RETURNS TABLE (step text, statement text) LANGUAGE sql AS
    $$ VALUES ('fine', 'SELECT true'),
        ('concatenated', 'INSERT INTO trial.things VALUES (' || NULL || ')') $$;
CREATE FUNCTION trial.has_a_remark_alone() RETURNS TABLE (step text, statement text) LANGUAGE sql AS
    $$ VALUES ('remark', '-- SELECT false') $$;
CREATE FUNCTION trial.has_two_statements() RETURNS TABLE (step text, statement text) LANGUAGE sql AS
    $$ VALUES ('both', 'SELECT false; SELECT true') $$;
CREATE FUNCTION trial.bails_out() RETURNS SETOF text LANGUAGE sql AS
    $$ VALUES ('1..2'), ('ok 1'), ('Bail out!  no database') $$;
CREATE FUNCTION trial.falls_short() RETURNS SETOF text LANGUAGE sql AS
    $$ VALUES ('1..3'), ('ok 1'), ('ok 2 # SKIP') $$;
CREATE FUNCTION trial.taps() RETURNS SETOF text LANGUAGE sql AS
    $$ VALUES ('1..2'), ('ok 1 - a'), ('# a remark'), ('ok 2') $$;
CREATE FUNCTION trial.asks_the_temporary_table() RETURNS TABLE (step text, statement text)
    LANGUAGE sql AS
    $$ VALUES ('insert', 'INSERT INTO receipts VALUES (1)') $$;
CREATE FUNCTION trial.shouts() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION '%', repeat('x', 5000000); END $$;
