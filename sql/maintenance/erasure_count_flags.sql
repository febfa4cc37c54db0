-- $1 pattern, $2 id of the person, NULL if it is no uuid. The history is counted by its columns.
SELECT (SELECT count(*) FROM @extschema@.feature_flags AS f WHERE $2 = ANY (f.target_user_ids))
    + (SELECT count(*) FROM crewsnow_ops.user_context AS u WHERE u.user_id = $2)
WHERE $1 IS NOT NULL
