-- The channel $1
SELECT c.kind, c.is_enabled, c.language, extract(epoch FROM c.expires_after)::bigint,
    c.target::text
FROM crewsnow_ops.channels AS c
WHERE c.name = $1
