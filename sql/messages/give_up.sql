-- Message $1 cannot be rendered: $2
UPDATE crewsnow_ops.messages
SET state = 'dead', ended_at = clock_timestamp(), token = NULL, lease_until = NULL,
    last_error = $2
WHERE message_id = $1
