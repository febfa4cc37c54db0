-- $1 id of a user
UPDATE @extschema@.feature_flags AS f
SET target_user_ids = array_remove(f.target_user_ids, $1)
WHERE $1 = ANY (f.target_user_ids)
