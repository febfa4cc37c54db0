-- $1 id of a flag, $2 updated_at of a saved row. The changes since, as one row: the last one, and
-- their number.
SELECT h.changed_at::text, coalesce(h.updated_by, h.jwt_subject, h.session_user_name),
    (SELECT string_agg(
            CASE WHEN a.key IN ('is_enabled', 'rollout_percentage')
                THEN format('%s from %s to %s', a.key, h.before ->> a.key, a.value)
                ELSE a.key END, ', ' ORDER BY a.key)
        FROM jsonb_each(h.after) AS a
        WHERE a.value IS DISTINCT FROM h.before -> a.key
            AND a.key NOT IN ('updated_at', 'last_checked_at')),
    count(*) OVER ()
FROM crewsnow_ops.flag_history AS h
WHERE h.flag_id = $1 AND h.changed_at > $2
ORDER BY h.changed_at DESC
LIMIT 1
