-- $1 key
SELECT f.is_enabled, f.rollout_percentage FROM @extschema@.feature_flags AS f
    WHERE f.flag_key = $1 FOR UPDATE
