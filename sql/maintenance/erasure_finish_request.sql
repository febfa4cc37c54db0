-- $1 id, $2 id of the person, $3 its other identifiers, $4 rows by table, $5 system identifier,
-- $6 database, $7 pattern of the identifiers
UPDATE crewsnow_ops.erasure_requests AS r
SET user_id = NULL, executed_at = clock_timestamp(), executed_by = session_user,
    reason = regexp_replace(r.reason, $7, r.pseudonym, 'gi'),
    id_hash = encode(sha256(s.salt || convert_to(lower($2), 'UTF8')), 'hex'),
    other_hashes = ARRAY(
        SELECT encode(sha256(s.salt || convert_to(lower(o), 'UTF8')), 'hex')
        FROM unnest($3::text[]) AS o
    ),
    erased_rows = $4, system_identifier = $5, database = $6
FROM crewsnow_ops.erasure_salts AS s
WHERE r.id = $1 AND s.id = r.salt_id
