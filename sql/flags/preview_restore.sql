-- $1 time, $2 keys, $3 person, $4 transaction: see crewsnow_ops.restore_targets.
SELECT c.flag_key, c.action, c.is_now, c.becomes, c.changes, l.changed_at, l.changed_by,
    'changed since by ' || c.later_by
FROM (
    SELECT
        t.flag_id,
        coalesce(t.key_now, t.image ->> 'flag_key') AS flag_key,
        CASE WHEN t.later_by IS NOT NULL THEN 'leave' WHEN t.image IS NULL THEN 'remove'
            WHEN f.id IS NULL THEN 'add' ELSE 'change' END AS action,
        CASE WHEN f.id IS NOT NULL THEN format('%s at %s %%',
            CASE WHEN f.is_enabled THEN 'enabled' ELSE 'disabled' END, f.rollout_percentage)
            END AS is_now,
        CASE WHEN t.image IS NOT NULL THEN format('%s at %s %%',
            CASE WHEN (t.image ->> 'is_enabled')::boolean THEN 'enabled' ELSE 'disabled' END,
            t.image ->> 'rollout_percentage') END AS becomes,
        (SELECT string_agg(a.key, ', ' ORDER BY a.key) FROM jsonb_each(t.image) AS a
            WHERE f.id IS NOT NULL AND a.value IS DISTINCT FROM to_jsonb(f.*) -> a.key
                AND a.key NOT IN ('updated_at', 'last_checked_at')) AS changes,
        t.later_by
    FROM crewsnow_ops.restore_targets($1, $2, $3, $4) AS t
    LEFT JOIN @extschema@.feature_flags AS f ON f.id = t.flag_id
) AS c
LEFT JOIN LATERAL (
    SELECT h.changed_at, coalesce(h.updated_by, h.jwt_subject, h.session_user_name)
        AS changed_by
    FROM crewsnow_ops.flag_history AS h
    WHERE h.flag_id = c.flag_id
    ORDER BY h.changed_at DESC
    LIMIT 1
) AS l ON true
WHERE c.action <> 'change' OR c.changes IS NOT NULL
ORDER BY c.action <> 'leave', c.flag_key
