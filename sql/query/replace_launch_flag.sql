-- $1 id of the row that comes
DELETE FROM @extschema@.feature_flags AS f
USING crewsnow_ops.launch_flags AS l
WHERE f.id = $1 AND l.id = f.id AND f.created_at = l.created_at AND f.updated_at = l.created_at
