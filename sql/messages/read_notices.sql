-- The notices $1 as messages, each with its event, thread, group, severity, level and reason. $2 is
-- the time. A notice of an end lists the alerts that have ended
WITH notice AS (
    SELECT e.event_id, e.alert_group, e.group_id, e.severity, e.message,
        e.suppressed_by IS NOT NULL AS is_suppressed,
        replace(e.details ->> 'reason', ' ', '_') AS reason
    FROM crewsnow_ops.alert_events AS e
    WHERE e.event_id = ANY ($1)
        AND EXISTS (SELECT FROM crewsnow_ops.channels AS c WHERE c.is_enabled)
),
member AS (
    SELECT n.event_id, s.rule, s.subject, s.severity, s.state, s.samples, s.message,
        s.fired_at,
        CASE WHEN s.value::text NOT IN ('NaN', 'Infinity', '-Infinity') THEN s.value END AS value,
        CASE s.severity WHEN 'critical' THEN r.critical ELSE r.warning END AS threshold,
        CASE WHEN $2 - s.fired_at >= interval '30 minutes' THEN 3
            WHEN $2 - s.fired_at >= interval '15 minutes' THEN greatest(r.level_floor, 2)
            ELSE r.level_floor END AS level,
        NULL::timestamptz AS ended_at
    FROM notice AS n
    JOIN crewsnow_ops.alert_rules AS r ON coalesce(r.alert_group, r.name) = n.alert_group
    JOIN crewsnow_ops.alert_states AS s ON s.rule = r.name
    WHERE n.reason NOT IN ('resolved', 'partly_resolved') AND s.state IN ('firing', 'recovering')
        AND NOT EXISTS (
            SELECT FROM crewsnow_ops.silences AS i
            WHERE i.starts_at <= $2 AND i.ends_at > $2
                AND crewsnow_ops.silence_matches(i.matcher, s.rule, n.alert_group, s.subject)
        )
    UNION ALL
    SELECT n.event_id, f.rule, f.subject,
        min(f.severity) FILTER (WHERE f.event IN ('firing', 'escalated')), 'resolved', NULL, NULL,
        min(f.at) FILTER (WHERE f.event IN ('firing', 'escalated')), NULL, NULL, 1,
        max(f.at) FILTER (WHERE f.event IN ('resolved', 'expired'))
    FROM notice AS n
    JOIN crewsnow_ops.alert_events AS f ON f.group_id = n.group_id
    WHERE n.reason IN ('resolved', 'partly_resolved')
        AND f.event IN ('firing', 'escalated', 'resolved', 'expired')
    GROUP BY n.event_id, f.rule, f.subject
    HAVING max(f.at) FILTER (WHERE f.event IN ('resolved', 'expired'))
        >= max(f.at) FILTER (WHERE f.event IN ('firing', 'escalated'))
),
placed AS (
    SELECT m.*,
        row_number() OVER (PARTITION BY m.event_id
            ORDER BY m.severity, m.fired_at, m.rule, m.subject) AS place
    FROM member AS m
),
alerts AS (
    SELECT m.event_id, count(*) AS number, max(m.level) AS level,
        jsonb_agg(jsonb_build_object(
            'rule', m.rule, 'subject', m.subject, 'severity', m.severity, 'state', m.state,
            'value', m.value, 'samples', m.samples, 'threshold', m.threshold,
            'text', coalesce(m.message, ''),
            'since', (extract(epoch FROM m.fired_at) * 1000000)::bigint - 946684800000000,
            'ended', (extract(epoch FROM m.ended_at) * 1000000)::bigint - 946684800000000)
            ORDER BY m.place) FILTER (WHERE m.place <= 20) AS alerts
    FROM placed AS m
    GROUP BY m.event_id
)
SELECT n.event_id, 'group ' || n.group_id, n.alert_group, n.severity, n.reason,
    greatest(coalesce(a.level, 1), (
        SELECT max(m.level) FROM crewsnow_ops.messages AS m
        WHERE m.thread = 'group ' || n.group_id AND m.kind = 'alert'
    )),
    jsonb_build_object('source', current_database(),
        -- An alert that ended for want of data is not resolved.
        'title', CASE WHEN n.reason IN ('resolved', 'partly_resolved') AND EXISTS (
            SELECT FROM crewsnow_ops.alert_events AS x
            WHERE x.group_id = n.group_id AND x.event = 'expired') THEN n.message END,
        'alerts', coalesce(a.alerts, '[]'),
        'more', greatest(coalesce(a.number, 0) - 20, 0)),
    n.is_suppressed
FROM notice AS n
LEFT JOIN alerts AS a ON a.event_id = n.event_id
ORDER BY n.event_id
