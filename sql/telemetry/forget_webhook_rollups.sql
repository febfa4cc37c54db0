WITH journal AS (DELETE FROM crewsnow_ops.webhook_journal)
DELETE FROM crewsnow_ops.webhook_rollups
