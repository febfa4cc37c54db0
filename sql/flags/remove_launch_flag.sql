-- $1 id of a removed flag, $2 when it was removed: before this installation, so the removal comes from a dump. If the flag was made again
-- later, the dump has its row, too.
DELETE FROM @extschema@.feature_flags AS f
USING crewsnow_ops.launch_flags AS l
WHERE f.id = $1 AND $2 < l.created_at
    AND l.id = f.id AND f.created_at = l.created_at AND f.updated_at = l.created_at
