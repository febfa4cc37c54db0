-- The acknowledgements that ended after $1, the previous tick, and not after $2
SELECT a.alert_id, a.acknowledged_by
FROM crewsnow_ops.alert_acknowledgements AS a
WHERE a.ends_at > $1 AND a.ends_at <= $2
