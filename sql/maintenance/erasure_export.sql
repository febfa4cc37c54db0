SELECT jsonb_build_object('id', r.id, 'reason', r.reason, 'requested_at', r.requested_at,
    'requested_by', r.requested_by, 'due_at', r.due_at, 'executed_at', r.executed_at,
    'executed_by', r.executed_by, 'pseudonym', r.pseudonym, 'id_hash', r.id_hash,
    'other_hashes', r.other_hashes, 'erased_rows', r.erased_rows, 'replays', r.replays,
    'system_identifier', r.system_identifier, 'database', r.database,
    'salt_id', s.id, 'salt', encode(s.salt, 'hex'), 'salt_created_at', s.created_at,
    'salt_system_identifier', s.system_identifier, 'salt_database', s.database)
FROM crewsnow_ops.erasure_requests AS r
JOIN crewsnow_ops.erasure_salts AS s ON s.id = r.salt_id
WHERE r.executed_at IS NOT NULL
ORDER BY r.executed_at, r.id
