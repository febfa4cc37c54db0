-- $1 id of the row that comes, $2 the row. Created before this installation, it comes from a dump, and takes the place of the same flag
-- if nobody has touched that one.
UPDATE @extschema@.feature_flags AS f
SET flag_key = n.flag_key,
    flag_name = n.flag_name,
    description = n.description,
    is_enabled = n.is_enabled,
    rollout_percentage = n.rollout_percentage,
    target_user_ids = n.target_user_ids,
    target_premium_only = n.target_premium_only,
    target_regions = n.target_regions,
    module_name = n.module_name,
    feature_category = n.feature_category,
    created_by = n.created_by,
    created_at = n.created_at,
    updated_at = n.updated_at,
    last_checked_at = n.last_checked_at,
    target_segments = n.target_segments
FROM (SELECT ($2).*) AS n
CROSS JOIN crewsnow_ops.launch_flags AS l
WHERE f.id = $1 AND n.created_at < l.created_at AND n.rollout_group = f.rollout_group
    AND l.id = f.id AND f.created_at = l.created_at AND f.updated_at = l.created_at
RETURNING true
