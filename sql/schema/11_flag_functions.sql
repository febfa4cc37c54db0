-- Declared by hand: for speed, the C function reads its arguments without pgrx's wrapper.
CREATE FUNCTION @extschema@.is_feature_enabled_for_user(p_flag_key text,
    p_user_id uuid DEFAULT NULL) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'is_feature_enabled_for_user';
COMMENT ON FUNCTION @extschema@.is_feature_enabled_for_user(text, uuid) IS
    'Whether the flag is on for the user. Never raises an error: an unknown flag or a NULL key is '
    'false. Rules, in order: a disabled flag is off; users in target_user_ids are on; targeting '
    '(premium, regions, segments) must hold; 100 % is on, even without a user; 0 % is off; without '
    'a user off; otherwise on if the user''s bucket (1 to 100) is at most the percentage.';

-- For user ids that are no uuids. PostgreSQL prefers it for a literal, so a uuid in its usual form
-- must give the same answer here. The argument has a name of its own, because PostgREST tells
-- functions apart by the names of their arguments.
CREATE FUNCTION @extschema@.is_feature_enabled_for_user(p_flag_key text, p_user text)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'is_feature_enabled_for_text_user';
COMMENT ON FUNCTION @extschema@.is_feature_enabled_for_user(text, text) IS
    'As is_feature_enabled_for_user(text, uuid), for user ids of any text, which are hashed as '
    'they are. A uuid in its usual form is that uuid; any other id meets no targeting and is in no '
    'target_user_ids. An empty id is no user.';

COMMENT ON FUNCTION @extschema@.update_feature_flag(text, boolean, integer, text, text) IS
    'Changes a flag; NULL keeps the present value. Returns true; a NOTICE shows the old and new '
    'state. An unknown key that is similar to a known one, or a word or the beginning of one, is '
    'refused (error 42704). Any other unknown key creates the flag, at 100 % unless given, with a '
    'WARNING. The history keeps p_updated_by and p_reason. Other errors: 22004 NULL key, 22023 '
    'malformed key or percentage outside 0 to 100, 25006 read-only, 55000 row hidden by a policy '
    'or insert suppressed by a trigger, 55P03 locked by another session for 2 seconds.';
COMMENT ON FUNCTION crewsnow_ops.restore_feature_flags(timestamptz, text, text[], text) IS
    'Restores flags to their state at a past time: all, or those that have one of p_flag_keys now '
    'or had it then. With p_person, only flags that this person (p_updated_by, otherwise the JWT '
    'subject, otherwise the role) changed since, to their state before; a flag that others '
    'changed later is left alone, with a WARNING. The restore is a new change; the history is not '
    'rewritten. Returns the number of changed flags, with a NOTICE for each. Errors: 22004 NULL '
    'argument, 22023 empty reason, or a time in the future or before the first flag, 25001 in a '
    'REPEATABLE READ or SERIALIZABLE transaction, 25006 read-only, 42704 unknown key, 55P03 '
    'locked by another session for 2 seconds.';
COMMENT ON FUNCTION crewsnow_ops.restore_flag_transaction(xid8, text) IS
    'Undoes the changes of flags by the transaction with this flag_history.xid. A flag that others '
    'changed later is left alone, with a WARNING. Returns the number of changed flags. Errors as '
    'restore_feature_flags; 42704 if the history has no such transaction.';
COMMENT ON FUNCTION crewsnow_ops.erase_user_from_flags(uuid, text) IS
    'Erases a user: removes the id from target_user_ids of every flag, from '
    'crewsnow_ops.user_context, and from crewsnow_ops.flag_history, where it is blanked. '
    'crewsnow_ops.flag_history_erasures records who did so, why, and in how many rows, without '
    'the id. Returns the number of history rows. Errors: 22004 NULL argument, 22023 empty reason, '
    '25001 in a REPEATABLE READ or SERIALIZABLE transaction, 25006 read-only, 55P03 locked by '
    'another session for 2 seconds.';
COMMENT ON FUNCTION crewsnow_ops.explain_feature_flag(text, text) IS
    'As explain_feature_flag(text, uuid), for user ids of any text.';
COMMENT ON FUNCTION crewsnow_ops.evaluate_all(uuid) IS
    'Evaluates every flag for one user, or without one: flag_key, value, and reason as '
    'explain_feature_flag gives it. Sorted by flag_key.';
COMMENT ON FUNCTION crewsnow_ops.evaluate_all(text) IS
    'As evaluate_all(uuid), for user ids of any text.';
COMMENT ON FUNCTION crewsnow_ops.explain_feature_flag(text, uuid) IS
    'Explains the result of is_feature_enabled_for_user: flag_key, user_id, value, reason (as '
    'feature-flag specifications name it), detail, and bucket (1 to 100; null unless it decided).';

CREATE FUNCTION crewsnow_ops.flag_state_at(p_as_of timestamptz)
    RETURNS SETOF @extschema@.feature_flags
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    SET "TimeZone" = 'UTC'
AS $$
    WITH
    -- Flags with a change up to p_as_of: the row after the last one.
    changed AS (
        SELECT DISTINCT ON (h.flag_id) h.flag_id, h.after AS image
        FROM crewsnow_ops.flag_history AS h
        WHERE h.changed_at <= p_as_of
        ORDER BY h.flag_id, h.changed_at DESC
    ),
    -- Flags whose first change came later: the row before it, if the flag existed.
    not_yet AS (
        SELECT DISTINCT ON (h.flag_id) h.flag_id, h.before AS image
        FROM crewsnow_ops.flag_history AS h
        WHERE NOT EXISTS (SELECT FROM changed AS c WHERE c.flag_id = h.flag_id)
        ORDER BY h.flag_id, h.changed_at
    ),
    -- Flags without a change: the present row.
    untouched AS (
        SELECT f.id, to_jsonb(f.*) AS image
        FROM @extschema@.feature_flags AS f
        WHERE NOT EXISTS (SELECT FROM crewsnow_ops.flag_history AS h WHERE h.flag_id = f.id)
    )
    SELECT jsonb_populate_record(NULL::@extschema@.feature_flags, s.image)
    FROM (
        SELECT c.image FROM changed AS c
        UNION ALL
        SELECT n.image FROM not_yet AS n WHERE (n.image ->> 'created_at')::timestamptz <= p_as_of
        UNION ALL
        SELECT u.image FROM untouched AS u WHERE (u.image ->> 'created_at')::timestamptz <= p_as_of
    ) AS s
    WHERE s.image IS NOT NULL
$$;
COMMENT ON FUNCTION crewsnow_ops.flag_state_at(timestamptz) IS
    'All flags as of a time, by the clock time of their changes. A future time gives the present '
    'flags.';

CREATE FUNCTION crewsnow_ops.restore_targets(p_as_of timestamptz, p_flag_keys text[],
    p_person text, p_xid xid8)
    RETURNS TABLE (flag_id uuid, key_now text, image jsonb, later_by text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET "TimeZone" = 'UTC'
AS $$
    WITH
    authored AS (
        SELECT h.*,
            (p_xid IS NULL OR h.xid = p_xid) AND (p_person IS NULL
                OR coalesce(p_person = h.updated_by, false)
                OR coalesce(p_person = h.jwt_subject, false)
                OR h.updated_by IS NULL AND h.jwt_subject IS NULL
                    AND p_person IN (h.session_user_name, h.current_user_name)) AS is_undone
        FROM crewsnow_ops.flag_history AS h
        WHERE p_xid IS NOT NULL OR p_person IS NOT NULL
    ),
    -- Of each flag, the first change to undo.
    undone AS (
        SELECT DISTINCT ON (a.flag_id) a.flag_id, a.changed_at, a.before
        FROM authored AS a
        WHERE a.is_undone AND (p_as_of IS NULL OR a.changed_at > p_as_of)
        ORDER BY a.flag_id, a.changed_at
    ),
    earlier AS (
        SELECT s.id, to_jsonb(s.*) AS image FROM crewsnow_ops.flag_state_at(p_as_of) AS s
        WHERE p_xid IS NULL AND p_person IS NULL
    ),
    targets AS (
        SELECT coalesce(e.id, f.id) AS flag_id, f.flag_key AS key_now, e.image,
            NULL::text AS later_by
        FROM earlier AS e
        FULL JOIN @extschema@.feature_flags AS f ON f.id = e.id
        WHERE p_xid IS NULL AND p_person IS NULL
        UNION ALL
        SELECT u.flag_id, f.flag_key, u.before,
            (SELECT string_agg(
                    DISTINCT coalesce(l.updated_by, l.jwt_subject, l.session_user_name), ', ')
                FROM authored AS l
                WHERE l.flag_id = u.flag_id AND l.changed_at > u.changed_at AND NOT l.is_undone)
        FROM undone AS u
        LEFT JOIN @extschema@.feature_flags AS f ON f.id = u.flag_id
    )
    SELECT t.flag_id, t.key_now, t.image, t.later_by
    FROM targets AS t
    WHERE p_flag_keys IS NULL OR t.key_now = ANY (p_flag_keys)
        OR t.image ->> 'flag_key' = ANY (p_flag_keys)
$$;
COMMENT ON FUNCTION crewsnow_ops.restore_targets(timestamptz, text[], text, xid8) IS
    'Flags that a restore would touch: id, present key, the row to restore (NULL: the flag did not '
    'exist), and who changed it later, if the restore leaves it alone. NULL arguments select all.';

CREATE FUNCTION crewsnow_ops.preview_restore(p_as_of timestamptz, p_flag_keys text[] DEFAULT NULL,
    p_person text DEFAULT NULL, p_xid xid8 DEFAULT NULL)
    RETURNS TABLE (flag_key text, action text, is_now text, becomes text, changes text,
        changed_at timestamptz, changed_by text, note text)
    LANGUAGE c STABLE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'preview_restore_wrapper';
COMMENT ON FUNCTION crewsnow_ops.preview_restore(timestamptz, text[], text, xid8) IS
    'The flags that restore_feature_flags would change with the same arguments, or '
    'restore_flag_transaction with p_xid: the action (add, change, remove; leave for a flag that '
    'others changed later), the state now and then, the columns that change, and the last change. '
    'No row: nothing would change. Changes nothing. Errors: 22004 neither time nor transaction, '
    '22023 a time in the future or before the first flag.';

CREATE FUNCTION crewsnow_ops.export_flags(p_flag_keys text[] DEFAULT NULL) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET "TimeZone" = 'UTC'
AS $$
    SELECT jsonb_build_object(
        'format', 'crewsnow_ops.flags/1',
        'database', current_database(),
        'exported_at', now(),
        'flags', coalesce(jsonb_agg(
            to_jsonb(f.*) - '{id,created_at,created_by,updated_at,last_checked_at}'::text[]
            ORDER BY f.flag_key), '[]')
    )
    FROM @extschema@.feature_flags AS f
    WHERE p_flag_keys IS NULL OR f.flag_key = ANY (p_flag_keys)
$$;
COMMENT ON FUNCTION crewsnow_ops.export_flags(text[]) IS
    'Flags as one document for import_flags in another database: every column but id, created_at, '
    'created_by, updated_at and last_checked_at. All flags, or those with these keys.';

-- A dry run does everything and undoes it, so it meets the same constraints, triggers and locks.
CREATE FUNCTION crewsnow_ops.import_flags(p_flags jsonb, p_dry_run boolean DEFAULT true,
    p_reason text DEFAULT NULL)
    RETURNS TABLE (flag_key text, action text, is_now text, becomes text, changes text, note text)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET "TimeZone" = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    flags jsonb := CASE jsonb_typeof(p_flags) WHEN 'array' THEN p_flags
        WHEN 'object' THEN p_flags -> 'flags' END;
    kept CONSTANT text[] := '{id,created_at,created_by,updated_at,last_checked_at}';
    known text[];
    flag jsonb;
    given text[];
    old @extschema@.feature_flags;
    new @extschema@.feature_flags;
    done jsonb := '[]';
    names text;
    outer_reason text := current_setting('crewsnow_ops.change_reason', true);
    problem text;
    explanation text;
    state text;
BEGIN
    IF p_dry_run IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = 'p_dry_run must not be NULL',
            HINT = 'SELECT * FROM crewsnow_ops.import_flags(crewsnow_ops.export_flags());';
    END IF;
    IF jsonb_typeof(flags) IS DISTINCT FROM 'array'
        OR jsonb_typeof(p_flags) = 'object'
            AND p_flags ->> 'format' IS DISTINCT FROM 'crewsnow_ops.flags/1' THEN
        RAISE EXCEPTION USING ERRCODE = '22023',
            MESSAGE = 'p_flags is not an export of feature flags',
            DETAIL = 'It is neither a document of export_flags nor an array of flags. '
                'Nothing was changed.',
            HINT = 'SELECT crewsnow_ops.export_flags();';
    END IF;
    known := ARRAY(SELECT a.attname::text FROM pg_attribute AS a
        WHERE a.attrelid = '@extschema@.feature_flags'::regclass AND a.attnum > 0
            AND NOT a.attisdropped AND a.attgenerated = '');
    SELECT format('flag %s is not an object with a flag_key', f.n) INTO problem
    FROM jsonb_array_elements(flags) WITH ORDINALITY AS f (flag, n)
    WHERE jsonb_typeof(f.flag) <> 'object'
        OR jsonb_typeof(f.flag -> 'flag_key') IS DISTINCT FROM 'string'
    ORDER BY f.n LIMIT 1;
    IF problem IS NULL THEN
        SELECT format('flag key %s occurs more than once', min(f.flag ->> 'flag_key'))
        INTO problem
        FROM jsonb_array_elements(flags) AS f (flag)
        GROUP BY lower(f.flag ->> 'flag_key') HAVING count(*) > 1 LIMIT 1;
    END IF;
    IF problem IS NULL THEN
        SELECT format('flag %s has the unknown column %s', f.flag ->> 'flag_key', k.name)
        INTO problem
        FROM jsonb_array_elements(flags) AS f (flag)
        CROSS JOIN LATERAL jsonb_object_keys(f.flag) AS k (name)
        WHERE k.name <> ALL (known) LIMIT 1;
    END IF;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = problem,
            DETAIL = 'Nothing was changed.', HINT = 'SELECT crewsnow_ops.export_flags();';
    END IF;
    BEGIN
        IF btrim(p_reason) <> '' THEN
            PERFORM set_config('crewsnow_ops.change_reason', btrim(p_reason), true);
        END IF;
        FOR flag IN SELECT f.flag FROM jsonb_array_elements(flags) AS f (flag)
            ORDER BY f.flag ->> 'flag_key'
        LOOP
            SELECT f.* INTO old FROM @extschema@.feature_flags AS f
                WHERE f.flag_key = flag ->> 'flag_key';
            given := ARRAY(SELECT k.name FROM jsonb_object_keys(flag) AS k (name)
                WHERE k.name <> ALL (kept) ORDER BY k.name);
            IF old.id IS NULL THEN
                names := (SELECT string_agg(quote_ident(g.name), ', ' ORDER BY g.name)
                    FROM unnest(given) AS g (name));
                EXECUTE format('INSERT INTO @extschema@.feature_flags AS f (%1$s) SELECT %1$s
                    FROM jsonb_populate_record(NULL::@extschema@.feature_flags, $1)
                    RETURNING f.*', names) INTO new USING flag;
            ELSE
                given := array_remove(given, 'rollout_group');
                names := (SELECT string_agg(quote_ident(g.name), ', ' ORDER BY g.name)
                    FROM unnest(given) AS g (name));
                EXECUTE format('UPDATE @extschema@.feature_flags AS f SET (%1$s) = (SELECT %1$s
                    FROM jsonb_populate_record(f, $1)) WHERE f.id = $2 RETURNING f.*', names)
                    INTO new USING flag, old.id;
            END IF;
            IF new.id IS NULL THEN
                RAISE EXCEPTION USING ERRCODE = '55000',
                    MESSAGE = format('flag %s can be neither changed nor created',
                        flag ->> 'flag_key'),
                    DETAIL = 'A policy or a trigger on feature_flags hides it. '
                        'Nothing was changed.';
            END IF;
            done := done || jsonb_build_object('flag_key', new.flag_key,
                'action', CASE WHEN old.id IS NULL THEN 'add'
                    WHEN to_jsonb(old) - kept = to_jsonb(new) - kept THEN 'keep'
                    ELSE 'change' END,
                'is_now', CASE WHEN old.id IS NOT NULL THEN format('%s at %s %%',
                    CASE WHEN old.is_enabled THEN 'enabled' ELSE 'disabled' END,
                    old.rollout_percentage) END,
                'becomes', format('%s at %s %%',
                    CASE WHEN new.is_enabled THEN 'enabled' ELSE 'disabled' END,
                    new.rollout_percentage),
                'changes', CASE WHEN old.id IS NOT NULL THEN
                    (SELECT string_agg(a.key, ', ' ORDER BY a.key)
                        FROM jsonb_each(to_jsonb(new)) AS a
                        WHERE a.value IS DISTINCT FROM to_jsonb(old) -> a.key
                            AND a.key <> ALL (kept)) END,
                'note', CASE WHEN flag ->> 'rollout_group' <> new.rollout_group
                    THEN 'rollout group kept: other users than in the export' END);
        END LOOP;
        IF p_dry_run THEN
            RAISE EXCEPTION USING ERRCODE = 'NG100', MESSAGE = 'dry run';
        END IF;
        PERFORM set_config('crewsnow_ops.change_reason', coalesce(outer_reason, ''), true);
    EXCEPTION
        WHEN SQLSTATE 'NG100' THEN NULL;
        -- Data that the table refuses: name the flag.
        WHEN data_exception OR integrity_constraint_violation THEN
            GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, explanation = PG_EXCEPTION_DETAIL,
                state = RETURNED_SQLSTATE;
            RAISE EXCEPTION USING ERRCODE = state,
                MESSAGE = format('flag %s cannot be imported: %s', flag ->> 'flag_key',
                    left(problem, 200)),
                DETAIL = btrim(CASE WHEN explanation LIKE 'Failing row%' THEN ''
                    ELSE replace(explanation, ' Nothing was changed.', '') END
                    || ' Nothing was changed.');
    END;
    RETURN QUERY
    SELECT d.flag_key, d.action, d.is_now, d.becomes, d.changes, d.note
    FROM jsonb_to_recordset(done) AS d (flag_key text, action text, is_now text, becomes text,
        changes text, note text)
    ORDER BY array_position('{add,change,keep}', d.action), d.flag_key;
END
$$;
COMMENT ON FUNCTION crewsnow_ops.import_flags(jsonb, boolean, text) IS
    'Takes over flags from a document of export_flags, or an array of such flags, by flag_key: '
    'adds unknown ones, changes known ones, leaves others. One row per flag: action (add, change, '
    'keep), state now and then, changed columns. A dry run, the default, undoes it. The history '
    'keeps p_reason. All or nothing. Errors: 22004 NULL p_dry_run, 22023 another document, an '
    'unknown column or a repeated key, 22P02, 23502, 23505 or 23514 a value that the table '
    'refuses, 55P03 locked by another session for 2 seconds.';

REVOKE ALL ON FUNCTION
    crewsnow_ops.export_flags(text[]),
    crewsnow_ops.import_flags(jsonb, boolean, text),
    crewsnow_ops.erase_user_from_flags(uuid, text),
    @extschema@.update_feature_flag(text, boolean, integer, text, text),
    crewsnow_ops.restore_feature_flags(timestamptz, text, text[], text),
    crewsnow_ops.restore_flag_transaction(xid8, text),
    crewsnow_ops.restore_targets(timestamptz, text[], text, xid8),
    crewsnow_ops.preview_restore(timestamptz, text[], text, xid8),
    crewsnow_ops.explain_feature_flag(text, uuid),
    crewsnow_ops.explain_feature_flag(text, text),
    crewsnow_ops.evaluate_all(uuid),
    crewsnow_ops.evaluate_all(text),
    crewsnow_ops.flag_state_at(timestamptz)
    FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.explain_feature_flag(text, uuid)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.explain_feature_flag(text, text)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.evaluate_all(uuid)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.evaluate_all(text)'),
    ('writer', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.evaluate_all(uuid)'),
    ('writer', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.evaluate_all(text)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.flag_state_at(timestamptz)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.export_flags(text[])'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.import_flags(jsonb, boolean, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.erase_user_from_flags(uuid, text)'),
    ('reader', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.restore_targets(timestamptz, text[], text, xid8)'),
    ('reader', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.preview_restore(timestamptz, text[], text, xid8)'),
    ('operator', 'EXECUTE', 'FUNCTION',
        '@extschema@.update_feature_flag(text, boolean, integer, text, text)'),
    ('operator', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.restore_feature_flags(timestamptz, text, text[], text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.restore_flag_transaction(xid8, text)');
