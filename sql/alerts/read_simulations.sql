-- The simulated values in effect at $1
SELECT s.rule, s.subject, s.value, s.message
FROM crewsnow_ops.alert_simulations AS s
WHERE s.ends_at > $1
