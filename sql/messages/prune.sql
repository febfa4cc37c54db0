-- Removes what ended more than 30 days before $1, at most 2,000 messages in one call, and the
-- states of channels that are gone
WITH old AS (
    DELETE FROM crewsnow_ops.messages AS m
    WHERE m.message_id IN (
        SELECT o.message_id FROM crewsnow_ops.messages AS o
        WHERE o.ended_at < $1 - interval '30 days'
        ORDER BY o.ended_at LIMIT 2000 FOR UPDATE SKIP LOCKED
    )
),
states AS (
    DELETE FROM crewsnow_ops.channel_states AS s
    WHERE s.channel IN (
        SELECT o.channel FROM crewsnow_ops.channel_states AS o
        WHERE NOT EXISTS (SELECT FROM crewsnow_ops.channels AS c WHERE c.name = o.channel)
        FOR UPDATE SKIP LOCKED
    )
)
DELETE FROM crewsnow_ops.delivery_attempts AS a
WHERE a.attempt_id IN (
    SELECT o.attempt_id FROM crewsnow_ops.delivery_attempts AS o
    WHERE o.answered_at < $1 - interval '30 days'
    ORDER BY o.answered_at LIMIT 5000 FOR UPDATE SKIP LOCKED
)
