-- Flags that do not stand as planned, what is wrong, and what puts it right; and how many are looked at.
SELECT
    count(*) OVER (),
    p.flag_key,
    CASE
        WHEN f.flag_key IS NULL THEN 'does not exist'
        WHEN p.is_enabled IS NOT NULL AND f.is_enabled <> p.is_enabled THEN CASE WHEN p.is_enabled THEN 'is disabled' ELSE 'is enabled' END
        WHEN f.is_enabled AND f.rollout_percentage <> ALL (p.rollout_steps) THEN format('stands at %s %%', f.rollout_percentage)
    END,
    CASE WHEN p.is_enabled OR (p.is_enabled IS NULL AND f.is_enabled)
        THEN format('SELECT update_feature_flag(%L, true, %s);', p.flag_key, coalesce(
            (SELECT max(s) FROM unnest(p.rollout_steps) AS s WHERE s <= f.rollout_percentage), p.rollout_steps[cardinality(p.rollout_steps)], 100))
        ELSE format('SELECT update_feature_flag(%L, false);', p.flag_key)
    END
FROM crewsnow_ops.launch_plan AS p
LEFT JOIN @extschema@.feature_flags AS f USING (flag_key)
WHERE p.is_enabled IS NOT NULL OR p.rollout_steps IS NOT NULL
ORDER BY p.flag_key
