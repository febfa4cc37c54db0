-- $1 id, $2 type, $3 status, $4 error, $5 payload. A processed webhook stays processed. An outcome
-- after "received" belongs to the same attempt.
INSERT INTO @extschema@.processed_events AS e (event_id, event_type, status, error_message,
    received_at, payload)
VALUES ($1, $2, $3, CASE WHEN $3 = 'failed' THEN $4 END, now(), $5)
ON CONFLICT (event_id) DO UPDATE SET
    attempts = e.attempts + CASE WHEN e.status = 'received' AND excluded.status <> 'received' THEN 0
        ELSE 1 END,
    status = CASE WHEN e.status = 'processed' THEN e.status ELSE excluded.status END,
    error_message = CASE WHEN e.status = 'processed' THEN e.error_message
        ELSE excluded.error_message END,
    processed_at = CASE WHEN e.status = 'processed' OR excluded.status = 'received'
        THEN e.processed_at ELSE now() END,
    -- A redelivery after a failure starts a new wait.
    received_at = CASE WHEN excluded.status = 'received' AND e.status = 'failed' THEN now()
        ELSE coalesce(e.received_at, e.processed_at) END,
    payload = coalesce(excluded.payload, e.payload)
RETURNING e.attempts
