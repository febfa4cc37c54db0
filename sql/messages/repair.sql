-- Channel $1 sends again. Returns the number of its messages that wait
WITH repaired AS (
    UPDATE crewsnow_ops.channel_states
    SET limiter = '{}', paused_until = NULL, broken_since = NULL
    WHERE channel = $1
)
SELECT count(*)
FROM crewsnow_ops.messages AS m
WHERE m.channel = $1 AND m.state IN ('queued', 'sending')
