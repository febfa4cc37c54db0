-- The limiter of channel $1
UPDATE crewsnow_ops.channel_states SET limiter = $2 WHERE channel = $1
