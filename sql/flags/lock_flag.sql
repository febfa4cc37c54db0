-- $1 key. Not FOR UPDATE: rows of other tables that reference the flag would block a kill.
SELECT f.is_enabled, f.rollout_percentage FROM @extschema@.feature_flags AS f
    WHERE f.flag_key = $1 FOR NO KEY UPDATE
