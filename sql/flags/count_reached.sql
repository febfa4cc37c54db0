-- $1 id of a flag. A row if the flag is enabled with targeting that no known user meets.
SELECT f.flag_key,
    (SELECT count(*) FROM crewsnow_ops.user_context AS u),
    (SELECT count(DISTINCT l.id) FROM unnest(f.target_user_ids) AS l (id) WHERE l.id IS NOT NULL)
FROM @extschema@.feature_flags AS f
WHERE f.id = $1 AND f.is_enabled AND f.rollout_percentage > 0
    AND (f.target_premium_only OR f.target_regions <> '{}' OR f.target_segments <> '{}')
    AND NOT EXISTS (
        SELECT FROM crewsnow_ops.user_context AS u
        WHERE (NOT f.target_premium_only OR u.is_premium)
            AND (f.target_regions = '{}' OR u.region = ANY (f.target_regions))
            AND (f.target_segments = '{}' OR u.segments && f.target_segments)
            AND @extschema@.is_feature_enabled_for_user(f.flag_key, u.user_id)
    )
