-- $1 as of
INSERT INTO @extschema@.feature_flags AS f
    (id, flag_key, flag_name, description, is_enabled, rollout_percentage, target_user_ids, target_premium_only, target_regions,
     module_name, feature_category, created_by, created_at, updated_at, last_checked_at, target_segments, rollout_group)
SELECT
    s.id, s.flag_key, s.flag_name, s.description, s.is_enabled, s.rollout_percentage, s.target_user_ids, s.target_premium_only,
    s.target_regions, s.module_name, s.feature_category, s.created_by, s.created_at, clock_timestamp(), s.last_checked_at,
    s.target_segments, s.rollout_group
FROM crewsnow_ops.flag_state_at($1) AS s
WHERE NOT EXISTS (SELECT FROM @extschema@.feature_flags AS e WHERE e.id = s.id)
RETURNING f.id, f.flag_key, f.is_enabled, f.rollout_percentage
