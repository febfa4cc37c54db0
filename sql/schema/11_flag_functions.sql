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

COMMENT ON FUNCTION @extschema@.update_feature_flag(text, boolean, integer, text) IS
    'Changes a flag; NULL keeps the present value. Returns true; a NOTICE shows the old and new '
    'state. An unknown key that is similar to a known one is refused (error 42704). Any other '
    'unknown key creates the flag, at 100 % unless given, with a WARNING. Other errors: 22004 NULL '
    'key, 22023 malformed key or percentage outside 0 to 100, 25006 read-only, 55000 row hidden by '
    'a policy or insert suppressed by a trigger.';
COMMENT ON FUNCTION crewsnow_ops.restore_feature_flags(timestamptz, text) IS
    'Restores all flags to their state at a past time. The restore is a new change; the history is '
    'not rewritten. Returns the number of changed flags, with a NOTICE for each. Errors: 22004 '
    'NULL argument, 22023 empty reason, or a time in the future or before the first flag, 25001 in '
    'a REPEATABLE READ or SERIALIZABLE transaction, 25006 read-only.';
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

REVOKE ALL ON FUNCTION
    @extschema@.update_feature_flag(text, boolean, integer, text),
    crewsnow_ops.restore_feature_flags(timestamptz, text),
    crewsnow_ops.explain_feature_flag(text, uuid),
    crewsnow_ops.flag_state_at(timestamptz)
    FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.explain_feature_flag(text, uuid)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.flag_state_at(timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION',
        '@extschema@.update_feature_flag(text, boolean, integer, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.restore_feature_flags(timestamptz, text)');
