-- The one function that skips pgrx's argument handling, for speed: its C symbol takes the call as it comes.
CREATE FUNCTION @extschema@.is_feature_enabled_for_user(p_flag_key text, p_user_id uuid DEFAULT NULL) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'is_feature_enabled_for_user';
COMMENT ON FUNCTION @extschema@.is_feature_enabled_for_user(text, uuid) IS
'Whether the flag is on for the user. Never raises: an unknown flag or a NULL key is false. Rules in this order: disabled is off; users in target_user_ids are on; targeting (premium, regions, segments) must hold; 100 % is on, even without a user; 0 % is off; without a user off; otherwise the user''s bucket, 1 to 100, must not exceed the percentage.';

COMMENT ON FUNCTION @extschema@.update_feature_flag(text, boolean, integer, text) IS
'Changes a flag; NULL keeps the present value. True when the flag now is as asked; a NOTICE says what was and what is. An unknown key that is like a known one is refused (SQLSTATE 42704); any other is created, at 100 % unless given, with a WARNING. Other errors: 22004 NULL key, 22023 malformed key or percentage outside 0 to 100, 25006 read-only, 55000 row hidden by a policy or insert swallowed by a trigger.';
COMMENT ON FUNCTION crewsnow_ops.restore_feature_flags(timestamptz, text) IS
'Makes all flags as they were at a past moment, as a change of its own: nothing in the history is rewritten. Returns how many flags changed; a NOTICE says each. Errors: 22004 NULL argument, 22023 empty reason, or a moment in the future or before the first flag, 25001 in a REPEATABLE READ or SERIALIZABLE transaction, 25006 read-only.';
COMMENT ON FUNCTION crewsnow_ops.explain_feature_flag(text, uuid) IS
'Why is_feature_enabled_for_user answers as it does: flag_key, user_id, value, reason (as feature-flag specifications name it), detail and, where it decided, the user''s bucket.';

CREATE FUNCTION crewsnow_ops.flag_state_at(p_as_of timestamptz) RETURNS SETOF @extschema@.feature_flags
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    SET "TimeZone" = 'UTC'
AS $$
    WITH
    -- Flags with a change by then: as that change left them.
    changed AS (
        SELECT DISTINCT ON (h.flag_id) h.flag_id, h.after AS image
        FROM crewsnow_ops.flag_history AS h
        WHERE h.changed_at <= p_as_of
        ORDER BY h.flag_id, h.changed_at DESC
    ),
    -- Flags whose first change came later: as it found them, if they existed.
    not_yet AS (
        SELECT DISTINCT ON (h.flag_id) h.flag_id, h.before AS image
        FROM crewsnow_ops.flag_history AS h
        WHERE NOT EXISTS (SELECT FROM changed AS c WHERE c.flag_id = h.flag_id)
        ORDER BY h.flag_id, h.changed_at
    ),
    -- Flags that were never changed: as they are.
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
'All flags as they were at a moment, by the time at which they were changed. A moment in the future gives the present flags.';

REVOKE ALL ON FUNCTION
    @extschema@.update_feature_flag(text, boolean, integer, text),
    crewsnow_ops.restore_feature_flags(timestamptz, text),
    crewsnow_ops.explain_feature_flag(text, uuid),
    crewsnow_ops.flag_state_at(timestamptz)
    FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.explain_feature_flag(text, uuid)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.flag_state_at(timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', '@extschema@.update_feature_flag(text, boolean, integer, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.restore_feature_flags(timestamptz, text)');
