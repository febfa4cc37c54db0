-- $1 time to restore
UPDATE @extschema@.feature_flags AS f
SET (@columns@) = ROW (@s.columns@)
FROM crewsnow_ops.flag_state_at($1) AS s
WHERE s.id = f.id AND ROW (@f.columns@) IS DISTINCT FROM ROW (@s.columns@)
RETURNING f.id, f.flag_key, f.is_enabled, f.rollout_percentage
