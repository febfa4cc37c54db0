-- $1 minute, $2 events, $3 failed
INSERT INTO crewsnow_ops.webhook_journal (minute, events, failed) VALUES ($1, $2, $3)
