-- Functions and views of messages.
CREATE FUNCTION crewsnow_ops.send(p_channel text, p_payload jsonb, p_thread text DEFAULT NULL,
        p_idempotency_key text DEFAULT NULL)
    RETURNS bigint LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'send_wrapper';
COMMENT ON FUNCTION crewsnow_ops.send(text, jsonb, text, text) IS
    'Adds a message for a channel in this transaction and returns its number: it is delivered if '
    'the transaction commits, and only then. Slack and e-mail show "title" and "text" of the '
    'payload; a webhook gets it whole. Messages of one p_thread arrive in their order. A second '
    'call of a login role with one p_idempotency_key returns the first message. '
    'Errors: 22004, 22023 for a payload '
    'that the channel cannot take, 25006, 42704, 55000 for a channel that is disabled.';
CREATE FUNCTION crewsnow_ops.test_channel(p_channel text)
    RETURNS bigint LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'test_channel_wrapper';
COMMENT ON FUNCTION crewsnow_ops.test_channel(text) IS
    'Adds a test message for a channel and returns its number. '
    'crewsnow_ops.message_steps(number) shows what becomes of it. Errors: 22004, 22023, 25006, '
    '42704, 55000 for a channel that is disabled.';
CREATE FUNCTION crewsnow_ops.claim_notifications(p_limit integer DEFAULT 10,
        p_lease interval DEFAULT '1 minute', p_channels text[] DEFAULT NULL)
    RETURNS TABLE (message_id bigint, token uuid, channel text, kind text, attempt integer,
        uid uuid, headers jsonb, body text)
    LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'claim_notifications_wrapper';
COMMENT ON FUNCTION crewsnow_ops.claim_notifications(integer, interval, text[]) IS
    'Hands at most p_limit messages, 1 to 1,000, to the caller for p_lease, 1 second to 1 hour. '
    'Commit, send them, and answer each with ack_notification or nack_notification and its token. '
    'A message without an answer is handed out again when its lease ends. body and headers have '
    'the form of the channel; secrets and signatures are added by the sender. Errors: 22023, '
    '25001 in a REPEATABLE READ or SERIALIZABLE transaction, 25006, 55000 in a copy of a database '
    'that was not adopted.';
CREATE FUNCTION crewsnow_ops.ack_notification(p_message bigint, p_token uuid)
    RETURNS boolean LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'ack_notification_wrapper';
COMMENT ON FUNCTION crewsnow_ops.ack_notification(bigint, uuid) IS
    'Says that a claimed message was delivered. False, and nothing is changed, if its lease has '
    'ended and another sender has it. Errors: 22004, 25006, 55P03 naming the session in the way.';
CREATE FUNCTION crewsnow_ops.nack_notification(p_message bigint, p_token uuid,
        p_status integer DEFAULT NULL, p_detail text DEFAULT NULL,
        p_retry_after text DEFAULT NULL)
    RETURNS text LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'nack_notification_wrapper';
COMMENT ON FUNCTION crewsnow_ops.nack_notification(bigint, uuid, integer, text, text) IS
    'Says that a claimed message was not delivered, and returns what follows: a time of the next '
    'attempt, or that it is dead. p_status is the HTTP status or the SMTP code, NULL for no '
    'answer; p_detail the text of the receiver; p_retry_after its header Retry-After, which '
    'pauses the whole channel. Attempts are 2 s to 10 min apart, at random; after 10, or when '
    'the message expires, it is dead. Errors: 22004, 25006, 55P03 naming the session in the way.';
CREATE FUNCTION crewsnow_ops.replay_messages(p_channel text, p_from timestamptz, p_to timestamptz)
    RETURNS bigint LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'replay_messages_wrapper';
COMMENT ON FUNCTION crewsnow_ops.replay_messages(text, timestamptz, timestamptz) IS
    'Queues the dead messages of a channel that were added from p_from to before p_to again, and '
    'returns their number. Their expiry begins anew. Errors: 22004, 25006, 42704.';
CREATE FUNCTION crewsnow_ops.repair_channel(p_channel text)
    RETURNS bigint LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'repair_channel_wrapper';
COMMENT ON FUNCTION crewsnow_ops.repair_channel(text) IS
    'Lets a channel send again that its receiver has refused, that pauses or whose circuit breaker '
    'is open. Returns the number of its messages that wait. Errors: 22004, 25006, 42704, 55P03.';

CREATE FUNCTION crewsnow_ops.channels_now()
    RETURNS TABLE (status text, channel text, kind text, waiting bigint, oldest_minutes numeric,
        sent_24h bigint, dead_24h bigint, until timestamptz, last_sent_at timestamptz,
        advice text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
WITH seen AS (
    SELECT c.name, c.kind, c.is_enabled, s.broken_since, s.paused_until, s.last_sent_at,
        s.last_error, s.last_error_at,
        CASE WHEN s.limiter #>> '{breaker,state}' = 'open'
            THEN timestamptz '2000-01-01 00:00:00+00'
                + (s.limiter #>> '{breaker,until}')::bigint * interval '1 microsecond'
        END AS open_until,
        w.waiting, w.oldest, e.sent, e.dead
    FROM crewsnow_ops.channels AS c
    LEFT JOIN crewsnow_ops.channel_states AS s ON s.channel = c.name
    CROSS JOIN LATERAL (
        SELECT count(*) AS waiting, min(m.created_at) AS oldest
        FROM crewsnow_ops.messages AS m
        WHERE m.channel = c.name AND m.state IN ('queued', 'sending')
    ) AS w
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE m.state = 'sent') AS sent,
            count(*) FILTER (WHERE m.state = 'dead') AS dead
        FROM crewsnow_ops.messages AS m
        WHERE m.channel = c.name AND m.ended_at > now() - interval '1 day'
    ) AS e
),
judged AS (
    SELECT s.*, greatest(CASE WHEN s.paused_until > now() THEN s.paused_until END,
            CASE WHEN s.open_until > now() THEN s.open_until END) AS held_until,
        CASE WHEN NOT s.is_enabled THEN 6
            WHEN s.broken_since IS NOT NULL THEN 1
            WHEN s.oldest < now() - interval '10 minutes' THEN 2
            WHEN s.open_until > now() THEN 3
            WHEN s.paused_until > now() THEN 4
            WHEN s.last_sent_at IS NULL AND s.kind <> 'notify' THEN 5
            ELSE 7 END AS place
    FROM seen AS s
)
SELECT (ARRAY['BROKEN', 'BEHIND', 'FAILING', 'PAUSED', 'UNTRIED', 'DISABLED', 'OK'])[j.place],
    j.name, j.kind, j.waiting, round(extract(epoch FROM now() - j.oldest) / 60, 1), j.sent, j.dead,
    j.held_until, j.last_sent_at,
    CASE j.place
        WHEN 1 THEN format('%s Correct the address, then: SELECT crewsnow_ops.repair_channel(%L);',
            coalesce(j.last_error || '.', ''), j.name)
        WHEN 2 THEN coalesce('last error: ' || j.last_error,
            'no sender claims its messages: start the one that calls claim_notifications')
        WHEN 3 THEN 'last error: ' || j.last_error
        WHEN 4 THEN 'the receiver asked for a pause'
        WHEN 5 THEN format('SELECT crewsnow_ops.test_channel(%L);', j.name)
        WHEN 6 THEN format('UPDATE crewsnow_ops.channels SET is_enabled = true WHERE name = %L;',
            j.name)
    END
FROM judged AS j
ORDER BY j.place, j.name
$$;
COMMENT ON FUNCTION crewsnow_ops.channels_now() IS
    'The rows of the view crewsnow_ops.channel_health.';
CREATE VIEW crewsnow_ops.channel_health AS
SELECT n.status, n.channel, n.kind, n.waiting, n.oldest_minutes, n.sent_24h, n.dead_24h, n.until,
    n.last_sent_at, n.advice
FROM crewsnow_ops.channels_now() AS n;
COMMENT ON VIEW crewsnow_ops.channel_health IS 'The channels and their queues, worst first.';
COMMENT ON COLUMN crewsnow_ops.channel_health.status IS
    'BROKEN: the receiver refuses the channel; BEHIND: a message waits for more than 10 minutes; '
    'FAILING: the circuit breaker is open; PAUSED: the receiver asked for it; UNTRIED: nothing '
    'was ever delivered; DISABLED; OK.';
COMMENT ON COLUMN crewsnow_ops.channel_health.channel IS 'The channel.';
COMMENT ON COLUMN crewsnow_ops.channel_health.kind IS 'Its kind.';
COMMENT ON COLUMN crewsnow_ops.channel_health.waiting IS
    'Messages that are queued or that a sender has.';
COMMENT ON COLUMN crewsnow_ops.channel_health.oldest_minutes IS
    'Age of the oldest of them, in minutes.';
COMMENT ON COLUMN crewsnow_ops.channel_health.sent_24h IS 'Messages delivered in 24 hours.';
COMMENT ON COLUMN crewsnow_ops.channel_health.dead_24h IS 'Messages given up in 24 hours.';
COMMENT ON COLUMN crewsnow_ops.channel_health.until IS
    'End of the pause or of the wait of the breaker; NULL for none.';
COMMENT ON COLUMN crewsnow_ops.channel_health.last_sent_at IS 'Time of the latest delivery.';
COMMENT ON COLUMN crewsnow_ops.channel_health.advice IS 'The next step; NULL for none.';

CREATE FUNCTION crewsnow_ops.message_steps(p_message bigint)
    RETURNS TABLE (at timestamptz, step text, status integer, detail text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
SELECT v.at, v.step, v.status, v.detail
FROM (
    SELECT m.created_at AS at, 'added' AS step, NULL::integer AS status,
        format('channel %s, kind %s', m.channel, m.kind) AS detail, 1 AS place
    FROM crewsnow_ops.messages AS m WHERE m.message_id = p_message
    UNION ALL
    SELECT a.answered_at, a.outcome, a.status,
        concat_ws(': ', format('attempt %s by %s', a.attempt, a.sender), a.detail), 2
    FROM crewsnow_ops.delivery_attempts AS a WHERE a.message_id = p_message
    UNION ALL
    SELECT coalesce(m.ended_at, m.lease_until, m.next_attempt_at), m.state, NULL,
        CASE m.state WHEN 'queued' THEN 'no sender claims it before this time'
            WHEN 'sending' THEN 'a sender has it until this time' ELSE m.last_error END, 3
    FROM crewsnow_ops.messages AS m WHERE m.message_id = p_message
) AS v
ORDER BY v.place, v.at
$$;
COMMENT ON FUNCTION crewsnow_ops.message_steps(bigint) IS
    'The story of a message: when it was added, each attempt, and its state now.';

CREATE FUNCTION crewsnow_ops.dead_messages_now()
    RETURNS TABLE (message_id bigint, channel text, kind text, created_at timestamptz,
        died_at timestamptz, attempts integer, reason text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
SELECT m.message_id, m.channel, m.kind, m.created_at, m.ended_at, m.attempts, m.last_error
FROM crewsnow_ops.messages AS m
WHERE m.state = 'dead'
ORDER BY m.ended_at DESC
$$;
COMMENT ON FUNCTION crewsnow_ops.dead_messages_now() IS
    'The rows of the view crewsnow_ops.dead_messages.';
CREATE VIEW crewsnow_ops.dead_messages AS
SELECT n.message_id, n.channel, n.kind, n.created_at, n.died_at, n.attempts, n.reason
FROM crewsnow_ops.dead_messages_now() AS n;
COMMENT ON VIEW crewsnow_ops.dead_messages IS
    'Messages that were given up in 30 days, the latest first. replay_messages queues them again.';
COMMENT ON COLUMN crewsnow_ops.dead_messages.message_id IS 'Number of the message.';
COMMENT ON COLUMN crewsnow_ops.dead_messages.channel IS 'The channel.';
COMMENT ON COLUMN crewsnow_ops.dead_messages.kind IS 'alert, application or test.';
COMMENT ON COLUMN crewsnow_ops.dead_messages.created_at IS 'Time when it was added.';
COMMENT ON COLUMN crewsnow_ops.dead_messages.died_at IS 'Time when it was given up.';
COMMENT ON COLUMN crewsnow_ops.dead_messages.attempts IS 'Claims.';
COMMENT ON COLUMN crewsnow_ops.dead_messages.reason IS 'Error of the latest attempt.';

REVOKE ALL ON FUNCTION crewsnow_ops.send(text, jsonb, text, text),
    crewsnow_ops.test_channel(text),
    crewsnow_ops.claim_notifications(integer, interval, text[]),
    crewsnow_ops.ack_notification(bigint, uuid),
    crewsnow_ops.nack_notification(bigint, uuid, integer, text, text),
    crewsnow_ops.replay_messages(text, timestamptz, timestamptz),
    crewsnow_ops.repair_channel(text), crewsnow_ops.channels_now(),
    crewsnow_ops.message_steps(bigint), crewsnow_ops.dead_messages_now() FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.channels'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.channel_states'),
    -- Neither the texts nor the tokens.
    ('reader', 'SELECT (message_id, channel, kind, severity, level, state, attempts, created_at, '
        'next_attempt_at, expires_at, claimed_at, lease_until, ended_at, last_error)',
        'TABLE', 'crewsnow_ops.messages'),
    ('operator', 'SELECT', 'TABLE', 'crewsnow_ops.delivery_attempts'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.channel_health'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.dead_messages'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.channels_now()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.dead_messages_now()'),
    ('writer', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.send(text, jsonb, text, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.test_channel(text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.message_steps(bigint)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.repair_channel(text)'),
    ('operator', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.replay_messages(text, timestamptz, timestamptz)'),
    ('admin', 'INSERT, UPDATE, DELETE', 'TABLE', 'crewsnow_ops.channels'),
    ('admin', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.claim_notifications(integer, interval, text[])'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.ack_notification(bigint, uuid)'),
    ('admin', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.nack_notification(bigint, uuid, integer, text, text)');
