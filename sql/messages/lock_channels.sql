-- The channels among $1 (NULL for all) that may send at $2, and that no other claim reads now. A
-- pause or a retry beyond the longest one is that of a clock that stepped back
SELECT c.name, c.kind, c.language, c.per_minute, s.limiter, c.target::text
FROM crewsnow_ops.channels AS c
JOIN crewsnow_ops.channel_states AS s ON s.channel = c.name
WHERE c.is_enabled AND c.kind <> 'notify' AND s.broken_since IS NULL
    AND (s.paused_until IS NULL OR s.paused_until <= $2
        OR s.paused_until > $2 + interval '1 hour')
    AND ($1 IS NULL OR c.name = ANY ($1))
    AND EXISTS (
        SELECT FROM crewsnow_ops.messages AS m
        WHERE m.channel = c.name AND m.state = 'queued'
            AND (m.next_attempt_at <= $2 OR m.next_attempt_at > $2 + interval '70 minutes')
    )
ORDER BY c.name
FOR UPDATE OF s SKIP LOCKED
