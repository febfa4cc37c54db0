-- A state for each channel that has none. A claim that is open may be adding it: then its channel
-- is left to that claim
INSERT INTO crewsnow_ops.channel_states (channel)
SELECT c.name FROM crewsnow_ops.channels AS c
WHERE (SELECT pg_try_advisory_xact_lock('crewsnow_ops.channel_states'::regclass::bigint))
    AND NOT EXISTS (SELECT FROM crewsnow_ops.channel_states AS s WHERE s.channel = c.name)
ON CONFLICT DO NOTHING
