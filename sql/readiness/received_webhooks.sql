-- Webhooks since $1 that are received but not processed. The limit bounds the cost of the count.
SELECT count(*) FROM (
    SELECT FROM @extschema@.processed_events AS e
    WHERE e.status = 'received' AND coalesce(e.received_at, e.processed_at) >= $1 LIMIT 10000
) AS waiting
