-- Age of the latest tick in seconds, alerts that fire by severity, rules that fail, and the worst
SELECT
    (SELECT floor(extract(epoch FROM now() - c.ticked_at))::bigint
        FROM crewsnow_ops.alert_clock AS c),
    count(*) FILTER (WHERE s.severity = 'critical'),
    count(*) FILTER (WHERE s.severity = 'warning'),
    (SELECT count(*)
        FROM crewsnow_ops.alert_evaluations AS e
        JOIN crewsnow_ops.alert_rules AS r ON r.name = e.rule AND r.is_enabled
        WHERE e.data_state = 'error'),
    (array_agg(concat_ws('/', s.rule, nullif(s.subject, ''))
        ORDER BY s.severity = 'critical' DESC, s.fired_at))[1]
FROM crewsnow_ops.alert_states AS s
WHERE s.state IN ('firing', 'recovering')
