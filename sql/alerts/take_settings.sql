-- Gives a built-in rule the settings of the row $1 of a dump
UPDATE crewsnow_ops.alert_rules AS r
SET warning = n.warning, critical = n.critical, warning_clears = n.warning_clears,
    critical_clears = n.critical_clears, fires_after = n.fires_after,
    clears_after = n.clears_after, no_data = n.no_data, every = n.every,
    time_limit = n.time_limit, max_subjects = n.max_subjects, alert_group = n.alert_group,
    level_floor = n.level_floor, flags = n.flags, mode = n.mode, is_enabled = n.is_enabled,
    defined_by = n.defined_by, created_at = n.created_at, updated_at = n.updated_at
FROM (SELECT ($1).*) AS n
WHERE r.name = n.name AND r.is_built_in
