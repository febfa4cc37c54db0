-- $1 key, $2 enabled, $3 percentage, $4 created by
INSERT INTO @extschema@.feature_flags (flag_key, is_enabled, rollout_percentage, created_by)
VALUES ($1, $2, $3, $4)
ON CONFLICT (flag_key) DO NOTHING
RETURNING true
