-- $1 id of the incoming row, $2 the row. A row created before this installation comes from a dump.
-- It replaces the launch flag with the same id, unless that flag was changed since.
UPDATE @extschema@.feature_flags AS f
SET (@columns@) = ROW (@n.columns@)
FROM (SELECT ($2).*) AS n
CROSS JOIN crewsnow_ops.launch_flags AS l
WHERE f.id = $1 AND n.created_at < l.created_at AND n.rollout_group = f.rollout_group
    AND l.id = f.id AND f.created_at = l.created_at AND f.updated_at = l.created_at
RETURNING true
