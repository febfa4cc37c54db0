-- The message of channel $1 and idempotency key $2
SELECT m.message_id FROM crewsnow_ops.messages AS m
WHERE m.channel = $1 AND m.idempotency_key = $2
