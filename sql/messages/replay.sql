-- The dead messages of channel $1 that were created from $2 to before $3 wait again. A notice after
-- which a later one of its group was added is not worth it. At most 10,000 in one call
WITH dead AS (
    SELECT m.message_id,
        m.kind = 'alert' AND EXISTS (
            SELECT FROM crewsnow_ops.messages AS l
            WHERE l.channel = m.channel AND l.thread = m.thread AND l.message_id > m.message_id
        ) AS is_old
    FROM crewsnow_ops.messages AS m
    WHERE m.channel = $1 AND m.state = 'dead' AND m.created_at >= $2 AND m.created_at < $3
    ORDER BY m.message_id
    LIMIT 10000
    FOR UPDATE OF m SKIP LOCKED
)
UPDATE crewsnow_ops.messages AS m
SET state = CASE WHEN d.is_old THEN 'superseded' ELSE 'queued' END,
    ended_at = CASE WHEN d.is_old THEN m.ended_at END,
    attempts = 0, next_attempt_at = clock_timestamp(),
    expires_at = clock_timestamp() + c.expires_after
FROM dead AS d
JOIN crewsnow_ops.channels AS c ON c.name = $1
WHERE m.message_id = d.message_id
RETURNING m.message_id, d.is_old
