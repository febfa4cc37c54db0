INSERT INTO crewsnow_ops.webhook_rollups (minute, events, failed)
SELECT date_trunc('minute', e.processed_at), count(*), count(*) FILTER (
    WHERE e.status = 'failed' OR (e.status = 'received' AND e.failed_at IS NOT NULL)
)
FROM @extschema@.processed_events AS e
GROUP BY 1
