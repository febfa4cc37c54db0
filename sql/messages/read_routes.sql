-- Enabled channels, and whether each has got a message of a thread of $1
SELECT c.name, c.kind, c.min_severity, c.min_level, c.groups, c.language,
    extract(epoch FROM c.expires_after)::bigint, c.target::text,
    ARRAY(
        SELECT t.thread FROM unnest($1) AS t (thread)
        WHERE EXISTS (
            SELECT FROM crewsnow_ops.messages AS m
            WHERE m.channel = c.name AND m.thread = t.thread AND m.kind = 'alert'
        )
    )
FROM crewsnow_ops.channels AS c
WHERE c.is_enabled
ORDER BY c.name
