-- The rows that a real session reaches: statements run as a role and with claims, each undone. A
-- statement has no WHERE, because that would also need SELECT.
CREATE SCHEMA truth;

-- Makes the rest of the transaction one of a request. Without claims, nothing sets any.
CREATE FUNCTION truth.act_as(p_role text, p_claims text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_claims IS NOT NULL THEN
        PERFORM set_config('request.jwt.claims', p_claims, true),
            set_config('request.jwt.claim.sub', coalesce(p_claims::jsonb ->> 'sub', ''), true),
            set_config('request.jwt.claim.role', p_role, true);
    END IF;
    PERFORM set_config('role', p_role, true);
END $$;

-- The number of rows that a statement reaches after another one of the superuser; -1 for an error
-- that rows may have in common. A constraint is checked after the policies, so one that is violated
-- shows that they admit the row.
CREATE FUNCTION truth.attempt(p_role text, p_claims text, p_before text, p_statement text)
RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    reached integer;
BEGIN
    -- Foreign keys do not matter here.
    PERFORM set_config('session_replication_role', 'replica', true);
    IF p_before <> '' THEN
        EXECUTE p_before;
    END IF;
    PERFORM truth.act_as(p_role, p_claims);
    EXECUTE p_statement;
    GET DIAGNOSTICS reached = ROW_COUNT;
    RAISE EXCEPTION 'undo' USING ERRCODE = 'ZZ001';
EXCEPTION
    WHEN SQLSTATE 'ZZ001' THEN RETURN reached;
    WHEN integrity_constraint_violation THEN RETURN 1;
    WHEN insufficient_privilege THEN
        RETURN CASE WHEN SQLERRM ~ 'row-level security' THEN -1 ELSE 0 END;
    WHEN OTHERS THEN RETURN -1;
END $$;

-- One line for each command and row of a table with the column id: SELECT 1. UPDATE makes the
-- change p_change. TAKE and GIVE set an owner column to the user of the claims and to p_other.
-- INSERT stores a copy of the row.
CREATE FUNCTION truth.reach(p_table regclass, p_role text, p_claims text, p_owners text[],
    p_change text, p_other uuid, p_commands text[] DEFAULT NULL)
RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    ids integer[];
    attempt record;
    id integer;
    reached integer;
    names text;
    literals text;
    new_row text;
BEGIN
    EXECUTE format('SELECT array_agg(id ORDER BY id) FROM %s', p_table) INTO ids;
    IF ids IS NULL THEN
        RETURN;
    END IF;
    FOR attempt IN
        SELECT s.command, format(s.statement, p_table, p_change) AS statement
        FROM (VALUES ('SELECT', 'SELECT FROM %s'), ('UPDATE', 'UPDATE %s SET %s'),
            ('DELETE', 'DELETE FROM %s')) AS s (command, statement)
        WHERE p_commands IS NULL OR s.command = ANY (p_commands)
        UNION ALL
        SELECT g.command || ' ' || o.name, format('UPDATE %s SET %I = %L', p_table, o.name, g.id)
        FROM unnest(p_owners) AS o (name)
        CROSS JOIN LATERAL (VALUES ('TAKE', p_claims::jsonb ->> 'sub'), ('GIVE', p_other::text))
            AS g (command, id)
        WHERE p_claims::jsonb ->> 'sub' IS NOT NULL
            AND (p_commands IS NULL OR g.command = ANY (p_commands))
    LOOP
        -- If a statement on all rows reaches none or all, that decides.
        reached := truth.attempt(p_role, p_claims, '', attempt.statement);
        CONTINUE WHEN reached = 0;
        FOREACH id IN ARRAY ids LOOP
            IF reached = cardinality(ids) OR truth.attempt(p_role, p_claims,
                format('DELETE FROM %s WHERE id <> %s', p_table, id), attempt.statement) > 0 THEN
                RETURN NEXT format('%s %s', attempt.command, id);
            END IF;
        END LOOP;
    END LOOP;
    IF NOT coalesce('INSERT' = ANY (p_commands), true) THEN
        RETURN;
    END IF;
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
        string_agg(
            CASE a.attname
                WHEN 'id' THEN 'id + 1000'
                ELSE format('quote_nullable(%I)', a.attname)
            END,
            ', ' ORDER BY a.attnum)
    INTO names, literals
    FROM pg_attribute AS a
    WHERE a.attrelid = p_table AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        AND has_column_privilege(p_role, a.attrelid, a.attnum, 'INSERT');
    IF names IS NULL THEN
        RETURN;
    END IF;
    FOREACH id IN ARRAY ids LOOP
        EXECUTE format('SELECT concat_ws('', '', %s) FROM %s WHERE id = %s', literals, p_table, id)
        INTO new_row;
        IF truth.attempt(p_role, p_claims, '',
            format('INSERT INTO %s (%s) VALUES (%s)', p_table, names, new_row)) > 0 THEN
            RETURN NEXT format('INSERT %s', id);
        END IF;
    END LOOP;
END $$;
