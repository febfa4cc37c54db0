-- $1 location, $2 type, $3 size in bytes, $4 begin, $5 whether the snapshot is the transaction's,
-- $6 items. The snapshot of a REPEATABLE READ transaction is about as old as the transaction.
WITH backup AS (
    INSERT INTO @extschema@.backup_log (backup_type, backup_status, backup_size_bytes,
        backup_location, created_at, completed_at)
    VALUES ($2, 'completed', $3, $1,
        coalesce($4, CASE WHEN $5 THEN transaction_timestamp() ELSE statement_timestamp() END),
        clock_timestamp())
    RETURNING id
), manifest AS (
    INSERT INTO crewsnow_ops.backup_manifests (backup_id, taken_at, is_exact, items)
    SELECT id, CASE WHEN $5 THEN transaction_timestamp() ELSE statement_timestamp() END, $5,
        $6::jsonb
    FROM backup
)
SELECT id FROM backup
