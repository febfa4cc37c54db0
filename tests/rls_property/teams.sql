-- Truth about memberships: a session writes a row of its own and then reaches more, or puts a row
-- before the members of a team of which it is none. All is undone.

-- Runs a statement as the user of a request and returns the number of rows.
CREATE FUNCTION truth.run(p_claims text, p_statement text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    n integer;
BEGIN
    PERFORM truth.act_as('authenticated', p_claims);
    EXECUTE p_statement;
    GET DIAGNOSTICS n = ROW_COUNT;
    PERFORM set_config('role', 'none', true);
    RETURN n;
END $$;

-- The rows of a table that a user reads, changes or deletes.
CREATE FUNCTION truth.open_rows(p_table regclass, p_claims text) RETURNS text[]
LANGUAGE sql AS $$
    SELECT ARRAY(
        SELECT truth.reach(p_table, 'authenticated', p_claims, '{}', 'note = ''x''', NULL,
            '{SELECT,UPDATE,DELETE}')
    )
$$;

-- The ways in which a user opens rows: a new membership, a changed one, or one after an invitation
-- that the user writes. The first of them, after `all` if they open every row of a command, and
-- after `some` otherwise; NULL if there is none.
CREATE FUNCTION truth.ways_in(p_members regclass, p_invites regclass, p_rows regclass,
    p_claims text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before text[] := truth.open_rows(p_rows, p_claims);
    opened text[] := '{}';
    way text;
    me text := p_claims::jsonb ->> 'sub';
    assignments text[] := ARRAY(
        SELECT format('team = %s', t) FROM generate_series(1, 4) AS t
        UNION ALL
        SELECT format('role = %L', r) FROM unnest('{admin,member,editor}'::text[]) AS r
        UNION ALL
        SELECT format('team = %s, role = %L', t, r)
        FROM generate_series(1, 4) AS t, unnest('{admin,member,editor}'::text[]) AS r
    );
    -- Of all rows, or of one: a condition on columns would need SELECT, so a sequence picks it.
    changes text[] := ARRAY(
        SELECT format('UPDATE %s SET %s', p_members, s.assignment)
        FROM unnest(assignments) AS s (assignment)
    );
    changes_of_one text[] := ARRAY(
        SELECT format('%s WHERE nextval(''truth.turn'') = %s', c.change, n)
        FROM unnest(changes) AS c (change), generate_series(1, 6) AS n
    );
    is_updatable boolean := EXISTS (
        SELECT FROM pg_policy AS p WHERE p.polrelid = p_members AND p.polcmd IN ('w', '*')
    );
    is_of_own_rows boolean := EXISTS (
        SELECT FROM pg_policy AS p
        WHERE p.polrelid = p_members AND p.polcmd IN ('w', '*')
            AND pg_get_expr(p.polqual, p.polrelid) = '(user_id = auth.uid())'
    );
    new record;
    change text;
    found text[];
BEGIN
    -- A new account has no row in the users table here.
    PERFORM set_config('session_replication_role', 'replica', true);
    IF is_updatable THEN
        FOREACH change IN ARRAY
            changes || CASE WHEN is_of_own_rows THEN '{}' ELSE changes_of_one END
        LOOP
            found := truth.opened(p_rows, p_claims, ARRAY[change], before);
            way := coalesce(way, CASE WHEN found <> '{}' THEN change END);
            opened := opened || found;
            EXIT WHEN found <> '{}' AND truth.is_all(p_rows, before, opened);
        END LOOP;
    END IF;
    FOR new IN
        SELECT i.is_invited,
            format('INSERT INTO %s (team, user_id%s) VALUES (%s, %L%s)', p_members, n.column,
                t.team, me, n.value) AS statement,
            format('INSERT INTO %s (team, user_id) VALUES (%s, %L)', p_invites, t.team, me)
                AS invitation
        FROM (VALUES (false), (true)) AS i (is_invited), generate_series(1, 4) AS t (team),
            (VALUES ('', ''), (', role', ', ''admin'''), (', role', ', ''member'''),
                (', role', ', ''editor''')) AS n ("column", value)
    LOOP
        EXIT WHEN way IS NOT NULL AND truth.is_all(p_rows, before, opened);
        found := truth.opened(p_rows, p_claims,
            CASE WHEN new.is_invited THEN ARRAY[new.invitation] ELSE '{}' END || new.statement,
            before);
        way := coalesce(way, CASE WHEN found <> '{}' THEN
            concat(new.statement, CASE WHEN new.is_invited THEN ' after an invitation' END) END);
        opened := opened || found;
        CONTINUE WHEN NOT is_updatable OR new.is_invited OR found IS NULL OR found <> '{}';
        FOREACH change IN ARRAY changes LOOP
            found := truth.opened(p_rows, p_claims, ARRAY[new.statement, change], before);
            way := coalesce(way,
                CASE WHEN found <> '{}' THEN concat(new.statement, ', then ', change) END);
            opened := opened || found;
        END LOOP;
    END LOOP;
    RETURN CASE
        WHEN way IS NULL THEN NULL
        WHEN truth.is_all(p_rows, before, opened) THEN 'all: '
        ELSE 'some: '
    END || way;
END $$;

CREATE SEQUENCE truth.turn;
GRANT USAGE ON SCHEMA truth TO authenticated;
GRANT USAGE ON SEQUENCE truth.turn TO authenticated;

-- The rows that statements of a user open beside those before; NULL if one of them fails.
CREATE FUNCTION truth.opened(p_rows regclass, p_claims text, p_statements text[], p_before text[])
RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    opened text[];
    statement text;
BEGIN
    PERFORM setval('truth.turn', 1, false);
    FOREACH statement IN ARRAY p_statements LOOP
        IF truth.run(p_claims, statement) = 0 THEN
            RAISE EXCEPTION 'no row' USING ERRCODE = 'ZZ001';
        END IF;
    END LOOP;
    opened := ARRAY(
        SELECT unnest(truth.open_rows(p_rows, p_claims)) EXCEPT SELECT unnest(p_before)
    );
    RAISE EXCEPTION 'undo' USING ERRCODE = 'ZZ001';
EXCEPTION WHEN OTHERS THEN RETURN opened;
END $$;

-- Whether every row of a table is open to a command by which some are opened.
CREATE FUNCTION truth.is_all(p_rows regclass, p_before text[], p_opened text[]) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    is_all boolean;
BEGIN
    EXECUTE format(
        'SELECT bool_or(NOT EXISTS (SELECT FROM %s AS r
            WHERE concat(c.command, '' '', r.id) <> ALL ($1)))
         FROM (SELECT DISTINCT split_part(o, '' '', 1) AS command FROM unnest($2) AS o) AS c',
        p_rows) INTO is_all USING p_before || p_opened, p_opened;
    RETURN is_all;
END $$;

-- Whether a user can put a row into a team of others where a member then reads it: by INSERT, or by
-- an UPDATE of the team. NULL if the user is a member of each team, reads the rows of each, or can
-- update none. p_all holds the claims of each account by its id.
CREATE FUNCTION truth.crosses(p_members regclass, p_rows regclass, p_claims text, p_all jsonb,
    p_has_owner boolean, p_command text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    me text := p_claims::jsonb ->> 'sub';
    other record;
    attempt record;
    is_able boolean;
    is_tried boolean := false;
    -- The writer may also make a row an own one.
    as_own text := CASE WHEN p_has_owner THEN format('owner = %L', me) END;
    -- Rows that an UPDATE reaches.
    reached text[] := ARRAY(
        SELECT replace(u.line, 'UPDATE ', '')
        FROM unnest(ARRAY['note = ''x''', as_own]) AS c (change)
        CROSS JOIN truth.reach(p_rows, 'authenticated', p_claims, '{}', c.change, NULL, '{UPDATE}')
            AS u (line)
        WHERE c.change IS NOT NULL
    );
BEGIN
    -- A new account has no row in the users table here.
    PERFORM set_config('session_replication_role', 'replica', true);
    FOR other IN EXECUTE format(
        'SELECT m.team, m.user_id::text AS id FROM %1$s AS m WHERE NOT EXISTS (
            SELECT FROM %1$s AS o WHERE o.team = m.team AND o.user_id = $1)', p_members)
        USING me::uuid
    LOOP
        FOR attempt IN EXECUTE CASE p_command
            WHEN 'INSERT' THEN format(
                'SELECT 9000 AS id, '''' AS before,
                    format(''INSERT INTO %1$s (id, team, note%2$s, is_public)
                        VALUES (9000, %3$s, ''''x''''%4$s, %%L)'', p) AS statement,
                    CASE WHEN %5$L THEN %6$L END AS owner
                FROM unnest(ARRAY[true, false]) AS u (p)', p_rows,
                CASE WHEN p_has_owner THEN ', owner' END, other.team,
                CASE WHEN p_has_owner THEN format(', ''%L''', me) END, p_has_owner, me)
            ELSE format(
                'SELECT id, format(''DELETE FROM %1$s WHERE id <> %%s'', id) AS before,
                    format(''UPDATE %1$s SET team = %2$s%%s'', '', '' || c.change) AS statement,
                    CASE WHEN c.change IS NULL THEN %3$s::text ELSE %5$L END AS owner
                FROM %1$s
                CROSS JOIN (SELECT NULL AS change UNION SELECT %6$L) AS c
                WHERE team <> %2$s AND id::text = ANY (%4$L)', p_rows, other.team,
                CASE WHEN p_has_owner THEN 'owner' ELSE 'NULL' END, reached, me, as_own)
            END
        LOOP
            BEGIN
                IF p_command = 'UPDATE' THEN
                    EXECUTE attempt.before;
                END IF;
                is_able := false;
                IF truth.run(p_claims, attempt.statement) > 0 THEN
                    is_able := truth.reads(p_rows, attempt.id, p_all ->> other.id)
                        AND NOT truth.reads_team(p_rows, attempt.id, p_claims, attempt.owner,
                            other.id);
                END IF;
                RAISE EXCEPTION 'undo' USING ERRCODE = 'ZZ001';
            EXCEPTION WHEN OTHERS THEN NULL;
            END;
            is_tried := true;
            IF is_able THEN
                RETURN true;
            END IF;
        END LOOP;
    END LOOP;
    RETURN CASE WHEN is_tried THEN false END;
END $$;

CREATE FUNCTION truth.reads(p_rows regclass, p_id integer, p_claims text) RETURNS boolean
LANGUAGE sql AS $$
    SELECT truth.attempt('authenticated', p_claims, format('DELETE FROM %s WHERE id <> %s', p_rows,
        p_id), format('SELECT FROM %s', p_rows)) > 0
$$;

-- Whether a user reads a row of a team without having written it: then it is nothing to cross.
CREATE FUNCTION truth.reads_team(p_rows regclass, p_id integer, p_claims text, p_owner text,
    p_member text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF p_owner = p_claims::jsonb ->> 'sub' THEN
        RETURN truth.attempt('authenticated', p_claims, format(
            'DELETE FROM %1$s WHERE id <> %2$s; UPDATE %1$s SET owner = %3$L', p_rows, p_id,
            p_member), format('SELECT FROM %s', p_rows)) > 0;
    END IF;
    RETURN truth.reads(p_rows, p_id, p_claims);
END $$;
