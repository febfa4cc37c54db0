-- Messages that expired are dead, and so are those whose channel is gone. Lost leases wait again,
-- or are dead after $2 attempts. At most 1,000 in one call; $1 is the time
WITH lost AS (
    SELECT m.message_id, m.attempts, m.channel, m.claimed_at, m.expires_at
    FROM crewsnow_ops.messages AS m
    WHERE m.state = 'sending'
        -- No lease is longer than an hour: the clock has stepped back.
        AND (m.lease_until <= $1 OR m.lease_until > $1 + interval '1 hour')
    ORDER BY m.lease_until
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
),
attempted AS (
    INSERT INTO crewsnow_ops.delivery_attempts
        (message_id, channel, attempt, claimed_at, answered_at, outcome, detail, sender)
    SELECT l.message_id, l.channel, l.attempts, l.claimed_at, $1, 'lost',
        'no answer within the lease', session_user
    FROM lost AS l
),
returned AS (
    UPDATE crewsnow_ops.messages AS m
    SET state = CASE WHEN l.attempts >= $2 OR l.expires_at <= $1 THEN 'dead' ELSE 'queued' END,
        ended_at = CASE WHEN l.attempts >= $2 OR l.expires_at <= $1 THEN $1 END,
        token = NULL, lease_until = NULL, next_attempt_at = $1,
        last_error = 'no answer within the lease'
    FROM lost AS l
    WHERE m.message_id = l.message_id
),
over AS (
    SELECT m.message_id, c.name IS NULL AS is_orphan
    FROM crewsnow_ops.messages AS m
    LEFT JOIN crewsnow_ops.channels AS c ON c.name = m.channel
    WHERE m.state = 'queued' AND (m.expires_at <= $1 OR c.name IS NULL)
    ORDER BY m.message_id
    LIMIT 1000
    FOR UPDATE OF m SKIP LOCKED
)
UPDATE crewsnow_ops.messages AS m
SET state = 'dead', ended_at = $1,
    last_error = CASE WHEN o.is_orphan THEN 'the channel was removed'
        ELSE concat_ws(': ', 'expired', m.last_error) END
FROM over AS o
WHERE m.message_id = o.message_id
