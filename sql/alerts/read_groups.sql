-- The groups with active alerts
SELECT g.alert_group, g.group_id, g.opened_at, g.severity, g.members, g.last_notice_at,
    g.last_notice_severity, g.last_notice_members
FROM crewsnow_ops.alert_groups AS g
