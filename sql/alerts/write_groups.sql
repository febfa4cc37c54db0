-- $1 is an array of all groups with active alerts
WITH present AS (
    SELECT g.*
    FROM jsonb_to_recordset($1) AS g (alert_group text, group_id bigint, opened_at timestamptz,
        severity text, members integer, last_notice_at timestamptz, last_notice_severity text,
        last_notice_members integer)
),
gone AS (
    DELETE FROM crewsnow_ops.alert_groups AS o
    WHERE NOT EXISTS (SELECT FROM present AS g WHERE g.alert_group = o.alert_group)
)
INSERT INTO crewsnow_ops.alert_groups
    (alert_group, group_id, opened_at, severity, members, last_notice_at, last_notice_severity,
        last_notice_members)
SELECT g.alert_group, g.group_id, g.opened_at, g.severity, g.members, g.last_notice_at,
    g.last_notice_severity, g.last_notice_members
FROM present AS g
ON CONFLICT (alert_group) DO UPDATE
SET group_id = excluded.group_id, opened_at = excluded.opened_at, severity = excluded.severity,
    members = excluded.members, last_notice_at = excluded.last_notice_at,
    last_notice_severity = excluded.last_notice_severity,
    last_notice_members = excluded.last_notice_members
