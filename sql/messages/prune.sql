-- Removes at most 100 ended messages that are older than 30 days, and attempts
WITH old AS (
    DELETE FROM crewsnow_ops.messages AS m
    WHERE m.message_id IN (
        SELECT o.message_id FROM crewsnow_ops.messages AS o
        WHERE o.ended_at < $1 - interval '30 days'
        ORDER BY o.ended_at LIMIT 100 FOR UPDATE SKIP LOCKED
    )
)
DELETE FROM crewsnow_ops.delivery_attempts AS a
WHERE a.attempt_id IN (
    SELECT o.attempt_id FROM crewsnow_ops.delivery_attempts AS o
    WHERE o.answered_at < $1 - interval '30 days'
    ORDER BY o.answered_at LIMIT 300 FOR UPDATE SKIP LOCKED
)
