-- $1 is an array of messages. Those of alerts supersede the ones of their thread that wait, but not
-- one that a sender claims now. Returns the number and channel of each message that is new
WITH added AS (
    SELECT m.*
    FROM jsonb_to_recordset($1) AS m (channel text, kind text, thread text, idempotency_key text,
        severity text, level integer, message jsonb, state text, expires_after bigint, uid uuid,
        last_error text)
),
superseded AS (
    UPDATE crewsnow_ops.messages AS o
    SET state = 'superseded', ended_at = clock_timestamp()
    FROM (
        SELECT w.message_id
        FROM crewsnow_ops.messages AS w
        JOIN added AS a ON a.channel = w.channel AND a.thread = w.thread AND a.kind = 'alert'
        WHERE w.state = 'queued' AND w.kind = 'alert'
        FOR UPDATE OF w SKIP LOCKED
    ) AS w
    WHERE o.message_id = w.message_id
)
INSERT INTO crewsnow_ops.messages (uid, channel, kind, thread, idempotency_key, severity, level,
    message, state, last_error, ended_at, expires_at)
SELECT a.uid, a.channel, a.kind, coalesce(nullif(a.thread, ''), gen_random_uuid()::text),
    a.idempotency_key, a.severity, a.level, a.message, a.state, a.last_error,
    CASE WHEN a.state <> 'queued' THEN clock_timestamp() END,
    clock_timestamp() + a.expires_after * interval '1 second'
FROM added AS a
ON CONFLICT (channel, idempotency_key) DO NOTHING
RETURNING message_id, channel
