-- Evaluations of rules that are gone
DELETE FROM crewsnow_ops.alert_evaluations AS e
WHERE NOT EXISTS (SELECT FROM crewsnow_ops.alert_rules AS r WHERE r.name = e.rule)
