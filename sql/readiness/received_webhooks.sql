-- Webhooks since $1 that were received and not processed, counted as far as it costs little.
SELECT count(*) FROM (
    SELECT FROM @extschema@.processed_events AS e
    WHERE e.status = 'received' AND coalesce(e.received_at, e.processed_at) >= $1 LIMIT 10000
) AS waiting
