-- $1 event id, $2 old status, $3 new status
INSERT INTO crewsnow_ops.webhook_reversals (event_id, old_status, new_status) VALUES ($1, $2, $3)
