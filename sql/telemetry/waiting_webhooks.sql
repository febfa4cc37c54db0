-- $1 latest arrival, $2 row limit
SELECT count(*), min(w.since)
FROM (
    SELECT coalesce(e.received_at, e.processed_at) AS since
    FROM @extschema@.processed_events AS e
    WHERE e.status = 'received' AND coalesce(e.received_at, e.processed_at) < $1
    ORDER BY 1
    LIMIT $2
) AS w
