-- $1 id of a removed flag, $2 time of the removal. A removal before this installation comes from a
-- dump. If the flag was created again later, the dump has its row, too.
DELETE FROM @extschema@.feature_flags AS f
USING crewsnow_ops.launch_flags AS l
WHERE f.id = $1 AND $2 < l.created_at
    AND l.id = f.id AND f.created_at = l.created_at AND f.updated_at = l.created_at
