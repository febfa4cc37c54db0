-- $1 lines of export_erasures as a JSON array
INSERT INTO crewsnow_ops.erasure_salts (id, salt, created_at, system_identifier, database)
SELECT DISTINCT ON (l.salt_id) l.salt_id, decode(l.salt, 'hex'), l.salt_created_at,
    l.salt_system_identifier, l.salt_database
FROM jsonb_to_recordset($1::text::jsonb) AS l (salt_id uuid, salt text,
    salt_created_at timestamptz, salt_system_identifier bigint, salt_database oid)
ON CONFLICT (id) DO NOTHING
