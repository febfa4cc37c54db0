-- A state for each channel that has none. A claim that is open may be adding it: it holds the row
-- of the channel
INSERT INTO crewsnow_ops.channel_states (channel)
SELECT c.name
FROM (
    SELECT c.name FROM crewsnow_ops.channels AS c
    WHERE NOT EXISTS (SELECT FROM crewsnow_ops.channel_states AS s WHERE s.channel = c.name)
    FOR UPDATE SKIP LOCKED
) AS c
ON CONFLICT DO NOTHING
