-- The answer of a sender for message $1 with token $2: state $3, outcome $4, status $5, detail $6,
-- next attempt after $7 ms, sender $8. One row unless another sender has the message
WITH held AS (
    SELECT m.message_id, m.channel, m.attempts, m.claimed_at
    FROM crewsnow_ops.messages AS m
    WHERE m.message_id = $1 AND m.token = $2 AND m.state = 'sending'
    FOR UPDATE
),
answered AS (
    UPDATE crewsnow_ops.messages AS m
    SET state = $3, token = NULL, lease_until = NULL,
        ended_at = CASE WHEN $3 <> 'queued' THEN clock_timestamp() END,
        next_attempt_at = CASE WHEN $3 = 'queued'
            THEN clock_timestamp() + $7 * interval '1 millisecond' ELSE m.next_attempt_at END,
        last_error = CASE WHEN $3 = 'sent' THEN m.last_error ELSE $6 END
    FROM held AS h
    WHERE m.message_id = h.message_id
)
INSERT INTO crewsnow_ops.delivery_attempts
    (message_id, channel, attempt, claimed_at, answered_at, outcome, status, detail, sender)
SELECT h.message_id, h.channel, h.attempts, h.claimed_at, clock_timestamp(), $4, $5,
    left($6, 1000), $8
FROM held AS h
RETURNING channel
