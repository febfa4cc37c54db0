-- $1 request, $2 id of a person or NULL. Salt, hashes (NULL while open), and whether the person is
-- the erased one.
SELECT s.salt,
    CASE WHEN r.executed_at IS NOT NULL THEN array_prepend(r.id_hash, r.other_hashes) END,
    encode(sha256(s.salt || convert_to(lower($2), 'UTF8')), 'hex') = r.id_hash
FROM crewsnow_ops.erasure_requests AS r
JOIN crewsnow_ops.erasure_salts AS s ON s.id = r.salt_id
WHERE r.id = $1
