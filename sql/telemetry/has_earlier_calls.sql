-- $1 time
SELECT EXISTS (SELECT FROM crewsnow_ops.event_rollups AS r WHERE r.minute < $1)
