-- $1 as of
UPDATE @extschema@.feature_flags AS f
SET flag_key = s.flag_key,
    flag_name = s.flag_name,
    description = s.description,
    is_enabled = s.is_enabled,
    rollout_percentage = s.rollout_percentage,
    target_user_ids = s.target_user_ids,
    target_premium_only = s.target_premium_only,
    target_regions = s.target_regions,
    module_name = s.module_name,
    feature_category = s.feature_category,
    created_by = s.created_by,
    created_at = s.created_at,
    target_segments = s.target_segments
FROM crewsnow_ops.flag_state_at($1) AS s
WHERE s.id = f.id
    AND (f.flag_key, f.flag_name, f.description, f.is_enabled, f.rollout_percentage, f.target_user_ids, f.target_premium_only,
         f.target_regions, f.module_name, f.feature_category, f.created_by, f.created_at, f.target_segments)
        IS DISTINCT FROM
        (s.flag_key, s.flag_name, s.description, s.is_enabled, s.rollout_percentage, s.target_user_ids, s.target_premium_only,
         s.target_regions, s.module_name, s.feature_category, s.created_by, s.created_at, s.target_segments)
RETURNING f.id, f.flag_key, f.is_enabled, f.rollout_percentage
