-- $1 bigint: bytes, $2 text: begin. The dump is removed after
-- the test, so it has no location.
INSERT INTO @extschema@.backup_log (backup_type, backup_status, backup_size_bytes, created_at,
    completed_at)
VALUES ('manual', 'completed', $1, $2::timestamptz, clock_timestamp())
RETURNING id::text
