-- $1 end of the period, $2 row limit
DELETE FROM crewsnow_ops.event_rollups
WHERE ctid = ANY (ARRAY(SELECT r.ctid FROM crewsnow_ops.event_rollups AS r WHERE r.minute < $1
    LIMIT $2))
