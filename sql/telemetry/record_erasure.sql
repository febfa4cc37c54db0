-- $1 event id, $2 erased columns, $3 acting role
INSERT INTO crewsnow_ops.event_erasures (event_id, columns, acting_as) VALUES ($1, $2, $3)
