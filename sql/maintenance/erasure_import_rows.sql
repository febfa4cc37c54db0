-- $1 lines of export_erasures as a JSON array
INSERT INTO crewsnow_ops.erasure_requests AS r
    (id, reason, requested_at, requested_by, due_at, executed_at, executed_by, pseudonym, salt_id,
    id_hash, other_hashes, erased_rows, replays, system_identifier, database)
SELECT DISTINCT ON (l.id) l.id, l.reason, l.requested_at, l.requested_by, l.due_at, l.executed_at,
    l.executed_by, l.pseudonym, l.salt_id, l.id_hash, l.other_hashes, l.erased_rows, l.replays,
    l.system_identifier, l.database
FROM jsonb_to_recordset($1::text::jsonb) AS l (id uuid, reason text, requested_at timestamptz,
    requested_by text, due_at timestamptz, executed_at timestamptz, executed_by text,
    pseudonym text, salt_id uuid, id_hash text, other_hashes text[], erased_rows jsonb,
    replays uuid, system_identifier bigint, database oid)
ON CONFLICT (id) DO UPDATE
SET user_id = NULL, executed_at = EXCLUDED.executed_at, executed_by = EXCLUDED.executed_by,
    reason = EXCLUDED.reason, salt_id = EXCLUDED.salt_id, id_hash = EXCLUDED.id_hash,
    other_hashes = EXCLUDED.other_hashes, erased_rows = EXCLUDED.erased_rows,
    system_identifier = EXCLUDED.system_identifier, database = EXCLUDED.database
WHERE r.executed_at IS NULL
