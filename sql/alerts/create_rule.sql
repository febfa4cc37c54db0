-- $5 is the description, $12 the group
INSERT INTO crewsnow_ops.alert_rules (name, query, warning, critical, description, fires_after,
    clears_after, every, min_samples, no_data, fires_when, alert_group)
VALUES ($1, $2, $3, $4, $5, coalesce($6, '0'), coalesce($7, '0'), coalesce($8, '1 minute'),
    coalesce($9, 0), coalesce($10, 'keep'), coalesce($11, 'above'), $12)
