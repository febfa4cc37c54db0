-- $1 rule, $2 subject or NULL for all, $3 note, $4 end or NULL for the default, $5 now. Returns the
-- number of alerts
WITH given AS (
    INSERT INTO crewsnow_ops.alert_acknowledgements (alert_id, acknowledged_at, ends_at, note)
    SELECT s.alert_id, $5, coalesce($4, $5 + CASE s.severity WHEN 'critical' THEN interval '1 hour'
        ELSE interval '4 hours' END), $3
    FROM crewsnow_ops.alert_states AS s
    WHERE s.rule = $1 AND (s.subject = $2 OR $2 IS NULL)
        AND s.state IN ('firing', 'recovering') AND s.alert_id IS NOT NULL
    RETURNING alert_id, ends_at
),
told AS (
    INSERT INTO crewsnow_ops.alert_events
        (at, event, alert_group, group_id, rule, subject, alert_id, severity, value, message,
            actor, details)
    SELECT $5, 'acknowledged', g.alert_group, g.group_id, s.rule, s.subject, s.alert_id,
        s.severity, s.value, $3, session_user, jsonb_build_object('ends_at', a.ends_at)
    FROM given AS a
    JOIN crewsnow_ops.alert_states AS s ON s.alert_id = a.alert_id
    JOIN crewsnow_ops.alert_rules AS r ON r.name = s.rule
    LEFT JOIN crewsnow_ops.alert_groups AS g ON g.alert_group = coalesce(r.alert_group, r.name)
)
SELECT count(*) FROM given
