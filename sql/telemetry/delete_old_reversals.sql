-- $1 end of the period, $2 row limit
DELETE FROM crewsnow_ops.webhook_reversals
WHERE ctid = ANY (ARRAY(SELECT r.ctid FROM crewsnow_ops.webhook_reversals AS r
    WHERE r.changed_at < $1 LIMIT $2))
