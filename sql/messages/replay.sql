-- The dead messages of channel $1 that were created from $2 to before $3 wait again
UPDATE crewsnow_ops.messages AS m
SET state = 'queued', ended_at = NULL, attempts = 0, next_attempt_at = clock_timestamp(),
    expires_at = clock_timestamp() + c.expires_after
FROM crewsnow_ops.channels AS c
WHERE c.name = m.channel AND m.channel = $1 AND m.state = 'dead'
    AND m.created_at >= $2 AND m.created_at < $3
RETURNING m.message_id
