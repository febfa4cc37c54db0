-- $1 matcher, $2 reason, $3 end, $4 now
WITH written AS (
    INSERT INTO crewsnow_ops.silences (matcher, reason, starts_at, ends_at, created_at)
    VALUES ($1, $2, $4, $3, $4)
    RETURNING silence_id
),
told AS (
    INSERT INTO crewsnow_ops.alert_events (at, event, message, actor, details)
    SELECT $4, 'silenced', $2, session_user,
        jsonb_build_object('silence', w.silence_id, 'matcher', $1, 'ends_at', $3)
    FROM written AS w
)
SELECT w.silence_id FROM written AS w
