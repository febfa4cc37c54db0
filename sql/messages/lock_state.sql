-- The limiter of channel $1, locked
SELECT s.limiter, c.per_minute
FROM crewsnow_ops.channel_states AS s
JOIN crewsnow_ops.channels AS c ON c.name = s.channel
WHERE s.channel = $1
FOR UPDATE OF s
