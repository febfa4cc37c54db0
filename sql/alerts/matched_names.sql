-- The names that a matcher can have: rules and groups; and whether the alert fires
SELECT r.name, coalesce(r.alert_group, r.name), s.subject
FROM crewsnow_ops.alert_rules AS r
LEFT JOIN crewsnow_ops.alert_states AS s
    ON s.rule = r.name AND s.state IN ('firing', 'recovering')
