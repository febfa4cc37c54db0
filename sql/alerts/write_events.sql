-- $1 is an array of events in their order, $2 their time, $3 the actor. Returns the notices,
-- suppressed ones only of an end
WITH written AS (
    INSERT INTO crewsnow_ops.alert_events
        (at, event, alert_group, group_id, rule, subject, alert_id, severity, value, message,
            actor, suppressed_by, details)
    SELECT $2, e.event, e.alert_group, e.group_id, e.rule, e.subject, e.alert_id, e.severity,
        e.value, e.message, $3, e.suppressed_by, e.details
    FROM ROWS FROM (jsonb_to_recordset($1) AS (event text, alert_group text, group_id bigint,
            rule text, subject text, alert_id bigint, severity text, value double precision,
            message text, suppressed_by text, details jsonb))
        WITH ORDINALITY AS e (event, alert_group, group_id, rule, subject, alert_id, severity,
            value, message, suppressed_by, details, position)
    ORDER BY e.position
    RETURNING event_id, event, alert_group, severity, suppressed_by, details
)
SELECT w.event_id, w.alert_group, w.severity, w.details ->> 'reason',
    w.suppressed_by IS NOT NULL
FROM written AS w
WHERE w.event = 'notice'
    AND (w.suppressed_by IS NULL OR w.details ->> 'reason' IN ('resolved', 'partly resolved'))
ORDER BY w.event_id
