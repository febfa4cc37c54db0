-- Taking over the rows of tables that the application had before. A dry run inserts everything and
-- undoes it, so it meets the same constraints and triggers.
CREATE FUNCTION crewsnow_ops.adopt(p_table regclass, p_as text DEFAULT NULL,
    p_dry_run boolean DEFAULT true)
    RETURNS TABLE (item text, row_count bigint, note text)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    -- Other names of columns, in applications that were seen.
    aliases CONSTANT jsonb := '{"flag_key": ["key", "name", "slug"],
        "is_enabled": ["enabled", "active", "is_active"],
        "rollout_percentage": ["rollout", "percentage", "rollout_percent"],
        "event_id": ["stripe_event_id", "stripe_id", "id"],
        "event_type": ["type", "event"],
        "execution_time_ms": ["duration_ms"],
        "function_name": ["function"]}';
    -- Columns of feature_flags in which NULL has the meaning of the default.
    defaults CONSTANT jsonb := '{"is_enabled": "false", "target_premium_only": "false",
        "target_user_ids": "''{}''", "target_regions": "''{}''", "target_segments": "''{}''",
        "feature_category": "''experimental''"}';
    target_name text;
    target text;
    is_flags boolean;
    before_launch timestamptz := (SELECT min(l.created_at) - interval '1 microsecond'
        FROM crewsnow_ops.launch_flags AS l);
    made record;
    source record;
    columns text[] := '{}';
    expressions text[] := '{}';
    used text[] := '{}';
    notes text[] := '{}';
    expression text;
    total bigint;
    taken bigint := 0;
    problem text;
    refused jsonb := '{}';
    one record;
    has_failed boolean := false;
BEGIN
    IF p_table IS NULL OR p_dry_run IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22004',
            MESSAGE = CASE WHEN p_table IS NULL THEN 'p_table' ELSE 'p_dry_run' END
                || ' must not be NULL',
            HINT = 'SELECT * FROM crewsnow_ops.adopt(''before_crewsnow_ops.feature_flags'');';
    END IF;
    target_name := coalesce(p_as, (SELECT c.relname FROM pg_class AS c WHERE c.oid = p_table));
    IF target_name NOT IN ('feature_flags', 'event_log', 'processed_events')
        OR EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass
            AND d.objid = p_table AND d.deptype = 'e') THEN
        RAISE EXCEPTION USING ERRCODE = '22023',
            MESSAGE = format('%s cannot be taken over as %s', p_table, target_name),
            DETAIL = 'p_as is feature_flags, event_log or processed_events; p_table is a table of '
                'the application. Nothing was changed.',
            HINT = 'SELECT * FROM crewsnow_ops.adopt(''before_crewsnow_ops.flags'', '
                '''feature_flags'');';
    END IF;
    is_flags := target_name = 'feature_flags';
    target := (SELECT format('%I.%I', n.nspname, target_name)
        FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'crewsnow_ops');

    -- Each column of the target with the column of the source that it takes, if there is one.
    FOR made IN
        SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
            a.attnotnull AND NOT a.atthasdef
                AND a.attname NOT IN ('flag_name', 'rollout_group') AS is_required
        FROM pg_attribute AS a
        WHERE a.attrelid = target::regclass AND a.attnum > 0 AND NOT a.attisdropped
            AND a.attname <> 'tx'
        ORDER BY a.attnum
    LOOP
        SELECT s.attname::text AS name, format_type(s.atttypid, s.atttypmod) AS type INTO source
        FROM pg_attribute AS s
        LEFT JOIN LATERAL jsonb_array_elements_text(aliases -> made.name)
            WITH ORDINALITY AS a (name, n) ON a.name = s.attname
        WHERE s.attrelid = p_table AND s.attnum > 0 AND NOT s.attisdropped
            AND (s.attname = made.name OR a.name IS NOT NULL)
            AND s.attname <> ALL (used)
        ORDER BY s.attname <> made.name, a.n LIMIT 1;
        expression := NULL;
        IF source.name IS NOT NULL THEN
            BEGIN
                EXECUTE format('SELECT s.%I::%s FROM %s AS s LIMIT 0', source.name, made.type,
                    p_table);
                expression := format('s.%I::%s', source.name, made.type);
                used := used || source.name;
            EXCEPTION WHEN cannot_coerce THEN
                notes := notes || format('%s is %s, not %s: not taken over', source.name,
                    source.type, made.type);
            END;
        END IF;
        IF is_flags AND made.name = 'created_at' THEN
            -- Rows from before the installation take the place of untouched launch flags.
            expression := format('least(%s, %L::timestamptz)', coalesce(expression, 'NULL'),
                before_launch);
        ELSIF is_flags AND defaults ? made.name AND expression IS NOT NULL THEN
            expression := format('coalesce(%s, %s)', expression, defaults ->> made.name);
        END IF;
        IF expression IS NOT NULL THEN
            columns := columns || quote_ident(made.name);
            expressions := expressions || expression;
        ELSIF made.is_required THEN
            notes := notes || format('no column for %s, which is required', made.name);
            has_failed := true;
        END IF;
    END LOOP;

    EXECUTE format('SELECT count(*) FROM %s', p_table) INTO total;
    IF NOT has_failed THEN
        BEGIN
            BEGIN
                EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM %s AS s', target,
                    array_to_string(columns, ', '), array_to_string(expressions, ', '), p_table);
                taken := total;
            EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
                -- Row by row, to tell which rows are refused and why.
                -- As text, because the plan would keep the row type of another table.
                FOR one IN EXECUTE format('SELECT s::text AS image FROM %s AS s', p_table) LOOP
                    BEGIN
                        EXECUTE format('INSERT INTO %s (%s) SELECT %s
                            FROM (SELECT ($1::%s).*) AS s',
                            target, array_to_string(columns, ', '),
                            array_to_string(expressions, ', '), p_table) USING one.image;
                        taken := taken + 1;
                    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
                        GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
                        -- Messages of one kind end with different values.
                        problem := regexp_replace(problem, ': "[^"]*"$', '');
                        refused := refused || jsonb_build_object(problem,
                            coalesce((refused ->> problem)::bigint, 0) + 1);
                    END;
                END LOOP;
            END;
            IF is_flags THEN
                EXECUTE format('SELECT count(*) FROM %s AS f
                    WHERE EXISTS (SELECT FROM unnest(f.target_regions) AS m (x) WHERE m.x IS NULL)
                    OR EXISTS (SELECT FROM unnest(f.target_segments) AS m (x) WHERE m.x IS NULL)
                    OR EXISTS (SELECT FROM unnest(f.target_user_ids) AS m (x)
                        WHERE m.x IS NULL)', target) INTO total;
                IF total > 0 THEN
                    refused := refused || jsonb_build_object('a target list contains NULL', total);
                    taken := taken - total;
                END IF;
                EXECUTE format('SELECT count(*) FROM %1$s AS f JOIN %1$s AS t
                    ON lower(t.flag_key) = lower(f.flag_key) AND t.flag_key < f.flag_key', target)
                    INTO total;
                IF total > 0 THEN
                    refused := refused
                        || jsonb_build_object('a key differs from another in case alone', total);
                    taken := taken - total;
                END IF;
            END IF;
            IF p_dry_run OR refused <> '{}' THEN
                RAISE EXCEPTION USING ERRCODE = 'NG100', MESSAGE = 'dry run';
            END IF;
        EXCEPTION WHEN SQLSTATE 'NG100' THEN NULL;
        END;
    END IF;
    IF NOT p_dry_run AND (has_failed OR refused <> '{}') THEN
        RAISE EXCEPTION USING ERRCODE = '22023',
            MESSAGE = format('%s cannot be taken over as it is', p_table),
            DETAIL = array_to_string(notes || ARRAY(
                SELECT format('%s rows refused: %s', r.value, r.key)
                FROM jsonb_each_text(refused) AS r), '; ') || '. Nothing was changed.',
            HINT = format('Correct the rows, then look again: SELECT * FROM crewsnow_ops.adopt(%L, '
                '%L);', p_table, target_name);
    END IF;

    RETURN QUERY
    SELECT CASE WHEN p_dry_run THEN 'would be taken over' ELSE 'taken over' END, taken,
        'into ' || target
    UNION ALL
    SELECT 'refused', r.value::bigint, r.key FROM jsonb_each_text(refused) AS r
    UNION ALL
    SELECT CASE WHEN has_failed THEN 'refused' ELSE 'column' END, NULL, n.text
    FROM unnest(notes) AS n (text)
    UNION ALL
    SELECT 'column', NULL, format('%s is left behind', a.attname) FROM pg_attribute AS a
    WHERE a.attrelid = p_table AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attname <> ALL (used)
    UNION ALL
    SELECT 'trigger', NULL, format('%s stays with the old table', t.tgname) FROM pg_trigger AS t
    WHERE t.tgrelid = p_table AND NOT t.tgisinternal
    UNION ALL
    SELECT 'policy', NULL, format('%s stays with the old table', p.polname) FROM pg_policy AS p
    WHERE p.polrelid = p_table
    UNION ALL
    SELECT 'foreign key', NULL, format('%s of %s refers to the old table', k.conname,
        k.conrelid::regclass)
    FROM pg_constraint AS k WHERE k.confrelid = p_table AND k.contype = 'f'
    UNION ALL
    SELECT DISTINCT 'privilege', NULL::bigint, format('GRANT %s ON %s TO %s;', a.privilege_type,
        target, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(
            pg_get_userbyid(a.grantee)) END)
    FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
    WHERE c.oid = p_table AND a.grantee <> c.relowner;
END
$$;
COMMENT ON FUNCTION crewsnow_ops.adopt(regclass, text, boolean) IS
    'Takes over the rows of a table that the application had before, as feature_flags, event_log '
    'or processed_events (p_as; by default the name of the table). Columns match by name. Its '
    'flags take the place of unchanged launch flags with the same key. A dry run, the default, '
    'undoes it. Rows: what is taken over, refused, left behind. One refused row refuses all. For '
    'the owner. Errors: 22004 NULL argument, 22023 another table, or rows that are refused.';
REVOKE ALL ON FUNCTION crewsnow_ops.adopt(regclass, text, boolean) FROM PUBLIC;
