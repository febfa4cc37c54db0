-- Message $1, if the holder of token $2 sends it, and a random number
SELECT m.channel, m.attempts, c.kind, m.expires_at, random()
FROM crewsnow_ops.messages AS m
LEFT JOIN crewsnow_ops.channels AS c ON c.name = m.channel
WHERE m.message_id = $1 AND m.token = $2 AND m.state = 'sending'
