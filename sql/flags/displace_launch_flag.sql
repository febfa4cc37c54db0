-- $1 id, $2 key and $3 creation time of the incoming row. A row created before this installation
-- comes from a dump.
DELETE FROM @extschema@.feature_flags AS f
USING crewsnow_ops.launch_flags AS l
WHERE f.flag_key = $2 AND f.id <> $1 AND $3 < l.created_at
    AND l.id = f.id AND f.created_at = l.created_at AND f.updated_at = l.created_at
