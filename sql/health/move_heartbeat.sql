-- Moves the heartbeat, unless another session has its row locked: no session waits for it.
WITH held AS MATERIALIZED (
    SELECT FROM crewsnow_ops.heartbeat FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE crewsnow_ops.heartbeat SET beat_at = clock_timestamp()
    WHERE EXISTS (SELECT FROM held)
)
INSERT INTO crewsnow_ops.heartbeat (beat_at)
SELECT clock_timestamp()
WHERE NOT EXISTS (SELECT FROM crewsnow_ops.heartbeat)
ON CONFLICT (only_row) DO NOTHING
