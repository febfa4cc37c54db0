-- $1 rule, $2 subject, $3 value, $4 message, $5 end, $6 now. Simulations that have ended go
WITH gone AS (
    DELETE FROM crewsnow_ops.alert_simulations AS s
    WHERE s.ends_at <= $6 AND NOT (s.rule = $1 AND s.subject = $2)
),
told AS (
    INSERT INTO crewsnow_ops.alert_events (at, event, rule, subject, value, actor, details)
    VALUES ($6, 'simulated', $1, $2, $3, session_user, jsonb_build_object('ends_at', $5))
)
INSERT INTO crewsnow_ops.alert_simulations AS s (rule, subject, value, message, ends_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (rule, subject) DO UPDATE
SET value = excluded.value, message = excluded.message, ends_at = excluded.ends_at,
    created_by = session_user
