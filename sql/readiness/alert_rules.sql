-- Whether the alert rules are evaluated and quiet, the reason, and a command that helps
SELECT o.outcome, o.detail, o.command FROM crewsnow_ops.alert_objection() AS o
