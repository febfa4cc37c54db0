-- $1 id of a removed flag, $2 when it was removed: before this installation, so the removal comes from a dump. It counts if it is the
-- trail's last word on the flag.
DELETE FROM @extschema@.feature_flags AS f
USING crewsnow_ops.launch_flags AS l
WHERE f.id = $1 AND $2 < l.created_at
    AND l.id = f.id AND f.created_at = l.created_at AND f.updated_at = l.created_at
    AND NOT EXISTS (
        SELECT FROM crewsnow_ops.flag_history AS h WHERE h.flag_id = $1 AND h.changed_at > $2 AND h.after IS NOT NULL
    )
