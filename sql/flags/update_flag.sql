-- $1 key, $2 enabled, $3 percentage
UPDATE @extschema@.feature_flags SET is_enabled = $2, rollout_percentage = $3 WHERE flag_key = $1
