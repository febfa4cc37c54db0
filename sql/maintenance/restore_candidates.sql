-- $1 text: a location, or NULL for all. The latest backups that ended, newest first. A row of the
-- future does not count as the newest. No backup begins after its manifest.
SELECT b.id::text, b.backup_status, b.backup_location, b.created_at,
    extract(epoch FROM clock_timestamp() - b.created_at)::float8 AS age,
    extract(epoch FROM clock_timestamp() - m.taken_at)::float8, m.is_exact, m.items::text
FROM @extschema@.backup_log AS b
LEFT JOIN crewsnow_ops.backup_manifests AS m ON m.backup_id = b.id
WHERE b.backup_status IN ('completed', 'failed')
    AND (b.backup_location = $1 OR $1 IS NULL AND b.backup_location IS NOT NULL)
    AND b.created_at <= clock_timestamp()
ORDER BY least(b.created_at, m.taken_at) DESC
LIMIT 20
