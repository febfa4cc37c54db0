-- $1 and $2 are the rules and subjects of alerts to forget
DELETE FROM crewsnow_ops.alert_states AS s
USING unnest($1, $2) AS k (rule, subject)
WHERE s.rule = k.rule AND s.subject = k.subject
