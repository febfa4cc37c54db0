-- Claims at most $2 messages of channel $1 until $4; $3 is the time. The first message of a thread
-- goes before the others
WITH candidate AS (
    SELECT m.message_id
    FROM crewsnow_ops.messages AS m
    WHERE m.channel = $1 AND m.state = 'queued'
        AND (m.next_attempt_at <= $3 OR m.next_attempt_at > $3 + interval '70 minutes')
        AND NOT EXISTS (
            SELECT FROM crewsnow_ops.messages AS b
            WHERE b.channel = m.channel AND b.thread = m.thread
                AND b.state IN ('queued', 'sending') AND b.message_id <> m.message_id
                AND (b.message_id < m.message_id OR b.state = 'sending')
        )
    ORDER BY m.severity IS NULL, m.severity, m.message_id
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE crewsnow_ops.messages AS m
SET state = 'sending', attempts = m.attempts + 1, token = gen_random_uuid(),
    claimed_at = $3, lease_until = $4
FROM candidate AS c
WHERE m.message_id = c.message_id
RETURNING m.message_id, m.token, m.uid, m.message::text, m.attempts, m.thread
