-- Messages: channels, the outbox, and the record of each attempt to deliver.
CREATE TABLE crewsnow_ops.channels (
    name text NOT NULL,
    kind text NOT NULL,
    target jsonb NOT NULL DEFAULT '{}',
    min_severity text NOT NULL DEFAULT 'warning',
    min_level integer NOT NULL DEFAULT 1,
    groups text[] NOT NULL DEFAULT '{}',
    language text NOT NULL DEFAULT 'en',
    per_minute integer NOT NULL DEFAULT 60,
    expires_after interval NOT NULL DEFAULT '6 hours',
    is_enabled boolean NOT NULL DEFAULT true,
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    changed_by text NOT NULL DEFAULT SESSION_USER,
    CONSTRAINT channels_pkey PRIMARY KEY (name),
    CONSTRAINT channels_name_check CHECK (
        name OPERATOR(pg_catalog.~) '^[a-z0-9][a-z0-9_-]{0,62}$'
    ),
    CONSTRAINT channels_kind_check CHECK (
        kind OPERATOR(pg_catalog.=) ANY (ARRAY['slack', 'email', 'webhook', 'alertmanager',
            'pagerduty', 'notify'])
    ),
    CONSTRAINT channels_target_check CHECK (
        pg_catalog.jsonb_typeof(target) OPERATOR(pg_catalog.=) 'object'
        AND pg_catalog.length(target::pg_catalog.text) OPERATOR(pg_catalog.<=) 4000
    ),
    CONSTRAINT channels_min_severity_check CHECK (
        min_severity OPERATOR(pg_catalog.=) ANY (ARRAY['warning', 'critical'])
    ),
    CONSTRAINT channels_min_level_check CHECK (
        min_level OPERATOR(pg_catalog.>=) 1 AND min_level OPERATOR(pg_catalog.<=) 3
    ),
    CONSTRAINT channels_groups_check CHECK (
        pg_catalog.array_position(groups, NULL) IS NULL
    ),
    CONSTRAINT channels_language_check CHECK (
        language OPERATOR(pg_catalog.=) ANY (ARRAY['en', 'fr'])
    ),
    CONSTRAINT channels_per_minute_check CHECK (
        per_minute OPERATOR(pg_catalog.>=) 1 AND per_minute OPERATOR(pg_catalog.<=) 10000
    ),
    CONSTRAINT channels_expires_after_check CHECK (
        expires_after OPERATOR(pg_catalog.>=) '1 minute'::interval
        AND expires_after OPERATOR(pg_catalog.<=) '7 days'::interval
    )
) USING heap;
COMMENT ON TABLE crewsnow_ops.channels IS
    'Places that messages go to, and the alerts that each wants. It holds no secret: a password or '
    'the address of an incoming webhook stays with the program that sends.';
COMMENT ON COLUMN crewsnow_ops.channels.name IS 'Name of the channel, as functions take it.';
COMMENT ON COLUMN crewsnow_ops.channels.kind IS
    'Form of its messages: slack (incoming webhook), email, webhook (Standard Webhooks), '
    'alertmanager (API v2), pagerduty (Events v2), notify (NOTIFY, which needs no sender).';
COMMENT ON COLUMN crewsnow_ops.channels.target IS
    'Facts for the sender, such as {"to": ["oncall@example.com"]}; of notify {"channel": "name"}. '
    'No secrets.';
COMMENT ON COLUMN crewsnow_ops.channels.min_severity IS
    'It gets the notices of this severity or a worse one.';
COMMENT ON COLUMN crewsnow_ops.channels.min_level IS
    'It gets the notices of this escalation level, 1 to 3, or a higher one.';
COMMENT ON COLUMN crewsnow_ops.channels.groups IS
    'Groups whose notices it gets; * in a name stands for any characters. Empty for all.';
COMMENT ON COLUMN crewsnow_ops.channels.language IS 'Language of the texts: en or fr.';
COMMENT ON COLUMN crewsnow_ops.channels.per_minute IS
    'Messages that senders may claim in a minute.';
COMMENT ON COLUMN crewsnow_ops.channels.expires_after IS
    'A message that was not delivered for so long is dead.';
COMMENT ON COLUMN crewsnow_ops.channels.is_enabled IS
    'False: no message is added, and those that wait are not claimed.';
COMMENT ON COLUMN crewsnow_ops.channels.changed_at IS 'Time of the last change.';
COMMENT ON COLUMN crewsnow_ops.channels.changed_by IS
    'Login role (session_user) of the last change.';
COMMENT ON CONSTRAINT channels_pkey ON crewsnow_ops.channels IS 'One row per name.';
COMMENT ON CONSTRAINT channels_name_check ON crewsnow_ops.channels IS
    'A name has 1 to 63 lower-case letters, digits, hyphens and underscores.';
COMMENT ON CONSTRAINT channels_kind_check ON crewsnow_ops.channels IS
    'slack, email, webhook, alertmanager, pagerduty or notify.';
COMMENT ON CONSTRAINT channels_target_check ON crewsnow_ops.channels IS
    'target is an object of at most 4,000 characters.';
COMMENT ON CONSTRAINT channels_min_severity_check ON crewsnow_ops.channels IS
    'warning or critical.';
COMMENT ON CONSTRAINT channels_min_level_check ON crewsnow_ops.channels IS '1, 2 or 3.';
COMMENT ON CONSTRAINT channels_groups_check ON crewsnow_ops.channels IS 'No group is NULL.';
COMMENT ON CONSTRAINT channels_language_check ON crewsnow_ops.channels IS 'en or fr.';
COMMENT ON CONSTRAINT channels_per_minute_check ON crewsnow_ops.channels IS '1 to 10,000.';
COMMENT ON CONSTRAINT channels_expires_after_check ON crewsnow_ops.channels IS
    '1 minute to 7 days.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.channels', '');

CREATE TABLE crewsnow_ops.channel_states (
    channel text NOT NULL,
    limiter jsonb NOT NULL DEFAULT '{}',
    paused_until timestamptz,
    broken_since timestamptz,
    last_sent_at timestamptz,
    last_error text,
    last_error_at timestamptz,
    CONSTRAINT channel_states_pkey PRIMARY KEY (channel)
) USING heap WITH (fillfactor = 50);
COMMENT ON TABLE crewsnow_ops.channel_states IS
    'Health of each channel, as its deliveries showed it. Claims and answers write it.';
COMMENT ON COLUMN crewsnow_ops.channel_states.channel IS 'The channel.';
COMMENT ON COLUMN crewsnow_ops.channel_states.limiter IS
    'Tokens that are left of its rate, and its circuit breaker.';
COMMENT ON COLUMN crewsnow_ops.channel_states.paused_until IS
    'End of the pause that the receiver asked for; NULL if it asked for none.';
COMMENT ON COLUMN crewsnow_ops.channel_states.broken_since IS
    'Time when the receiver said that the address is no longer valid; NULL if it did not. '
    'Nothing is claimed until repair_channel() is called.';
COMMENT ON COLUMN crewsnow_ops.channel_states.last_sent_at IS 'Time of the latest delivery.';
COMMENT ON COLUMN crewsnow_ops.channel_states.last_error IS 'The latest error of a sender.';
COMMENT ON COLUMN crewsnow_ops.channel_states.last_error_at IS 'Its time.';
COMMENT ON CONSTRAINT channel_states_pkey ON crewsnow_ops.channel_states IS
    'One row per channel.';

CREATE TABLE crewsnow_ops.messages (
    message_id bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL,
    uid uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    channel text NOT NULL,
    kind text NOT NULL,
    thread text NOT NULL,
    idempotency_key text,
    severity text,
    level integer NOT NULL DEFAULT 1,
    message jsonb NOT NULL,
    state text NOT NULL DEFAULT 'queued',
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    created_by text NOT NULL DEFAULT SESSION_USER,
    next_attempt_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    expires_at timestamptz NOT NULL,
    claimed_at timestamptz,
    lease_until timestamptz,
    token uuid,
    ended_at timestamptz,
    last_error text,
    CONSTRAINT messages_pkey PRIMARY KEY (message_id),
    CONSTRAINT messages_uid_key UNIQUE (uid),
    CONSTRAINT messages_idempotency_key_key UNIQUE (channel, idempotency_key),
    CONSTRAINT messages_kind_check CHECK (
        kind OPERATOR(pg_catalog.=) ANY (ARRAY['alert', 'application', 'test'])
    ),
    CONSTRAINT messages_state_check CHECK (
        state OPERATOR(pg_catalog.=) ANY (ARRAY['queued', 'sending', 'sent', 'dead',
            'superseded'])
    ),
    CONSTRAINT messages_lease_check CHECK (
        (state OPERATOR(pg_catalog.=) 'sending')
            OPERATOR(pg_catalog.=) (lease_until IS NOT NULL AND token IS NOT NULL)
    )
) USING heap WITH (fillfactor = 70);
CREATE INDEX messages_queued_idx ON crewsnow_ops.messages (channel, next_attempt_at)
    WHERE state OPERATOR(pg_catalog.=) 'queued';
CREATE INDEX messages_sending_idx ON crewsnow_ops.messages (lease_until)
    WHERE state OPERATOR(pg_catalog.=) 'sending';
CREATE INDEX messages_thread_idx ON crewsnow_ops.messages (thread, channel, message_id);
CREATE INDEX messages_waiting_idx ON crewsnow_ops.messages (channel, thread, message_id)
    WHERE state OPERATOR(pg_catalog.=) ANY (ARRAY['queued', 'sending']);
CREATE INDEX messages_ended_idx ON crewsnow_ops.messages (ended_at)
    WHERE ended_at IS NOT NULL;
COMMENT ON INDEX crewsnow_ops.messages_queued_idx IS 'For claims.';
COMMENT ON INDEX crewsnow_ops.messages_sending_idx IS 'For leases that have ended.';
COMMENT ON INDEX crewsnow_ops.messages_thread_idx IS 'The messages of a thread.';
COMMENT ON INDEX crewsnow_ops.messages_waiting_idx IS 'For the order within a thread.';
COMMENT ON INDEX crewsnow_ops.messages_ended_idx IS 'For counts, and for the removal of old ones.';
COMMENT ON SEQUENCE crewsnow_ops.messages_message_id_seq IS 'Numbers of messages.';
COMMENT ON TABLE crewsnow_ops.messages IS
    'The outbox. A message is written in the transaction that gives reason for it, claimed by a '
    'sender for the time of a lease, and delivered at least once. Dumps do not contain it.';
COMMENT ON COLUMN crewsnow_ops.messages.message_id IS 'Number of the message.';
COMMENT ON COLUMN crewsnow_ops.messages.uid IS
    'Identifier for receivers, the same in each attempt.';
COMMENT ON COLUMN crewsnow_ops.messages.channel IS 'The channel.';
COMMENT ON COLUMN crewsnow_ops.messages.kind IS
    'alert: a notice of tick(); application: of crewsnow_ops.send(); test: of test_channel().';
COMMENT ON COLUMN crewsnow_ops.messages.thread IS
    'Messages of a thread are delivered one after the other, in their order.';
COMMENT ON COLUMN crewsnow_ops.messages.idempotency_key IS
    'A second message of this key and channel is not added. NULL for none.';
COMMENT ON COLUMN crewsnow_ops.messages.severity IS 'critical or warning; NULL for none.';
COMMENT ON COLUMN crewsnow_ops.messages.level IS 'Escalation level, 1 to 3.';
COMMENT ON COLUMN crewsnow_ops.messages.message IS 'The message in its neutral form.';
COMMENT ON COLUMN crewsnow_ops.messages.state IS
    'queued; sending: a sender has it until lease_until; sent; dead: given up; superseded: a later '
    'message of the thread tells more.';
COMMENT ON COLUMN crewsnow_ops.messages.attempts IS 'Claims so far.';
COMMENT ON COLUMN crewsnow_ops.messages.created_at IS 'Time when it was added (clock time).';
COMMENT ON COLUMN crewsnow_ops.messages.created_by IS 'Login role (session_user) that added it.';
COMMENT ON COLUMN crewsnow_ops.messages.next_attempt_at IS 'It is not claimed before.';
COMMENT ON COLUMN crewsnow_ops.messages.expires_at IS 'It is dead then, unless it was delivered.';
COMMENT ON COLUMN crewsnow_ops.messages.claimed_at IS
    'Time of the latest claim; NULL before the first.';
COMMENT ON COLUMN crewsnow_ops.messages.lease_until IS
    'End of the lease; another sender may claim it then. NULL unless it is sending.';
COMMENT ON COLUMN crewsnow_ops.messages.token IS
    'Token of the claim. Only its holder can answer for the message. NULL unless it is sending.';
COMMENT ON COLUMN crewsnow_ops.messages.ended_at IS
    'Time when it was sent, superseded or given up; NULL before.';
COMMENT ON COLUMN crewsnow_ops.messages.last_error IS 'Error of the latest attempt that failed.';
COMMENT ON CONSTRAINT messages_pkey ON crewsnow_ops.messages IS 'One row per message.';
COMMENT ON CONSTRAINT messages_uid_key ON crewsnow_ops.messages IS 'One row per identifier.';
COMMENT ON CONSTRAINT messages_idempotency_key_key ON crewsnow_ops.messages IS
    'One message of a key in a channel.';
COMMENT ON CONSTRAINT messages_kind_check ON crewsnow_ops.messages IS
    'alert, application or test.';
COMMENT ON CONSTRAINT messages_state_check ON crewsnow_ops.messages IS
    'queued, sending, sent, dead or superseded.';
COMMENT ON CONSTRAINT messages_lease_check ON crewsnow_ops.messages IS
    'A message has a lease and a token while it is sending, and only then.';

CREATE TABLE crewsnow_ops.delivery_attempts (
    attempt_id bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL,
    message_id bigint NOT NULL,
    channel text NOT NULL,
    attempt integer NOT NULL,
    claimed_at timestamptz NOT NULL,
    answered_at timestamptz NOT NULL,
    outcome text NOT NULL,
    status integer,
    detail text,
    sender text NOT NULL,
    CONSTRAINT delivery_attempts_pkey PRIMARY KEY (attempt_id),
    CONSTRAINT delivery_attempts_outcome_check CHECK (
        outcome OPERATOR(pg_catalog.=) ANY (ARRAY['sent', 'retry', 'refused', 'lost'])
    )
) USING heap;
CREATE INDEX delivery_attempts_message_idx ON crewsnow_ops.delivery_attempts (message_id);
CREATE INDEX delivery_attempts_answered_idx ON crewsnow_ops.delivery_attempts (answered_at);
COMMENT ON INDEX crewsnow_ops.delivery_attempts_message_idx IS 'For the steps of a message.';
COMMENT ON INDEX crewsnow_ops.delivery_attempts_answered_idx IS
    'For the removal of old attempts.';
COMMENT ON SEQUENCE crewsnow_ops.delivery_attempts_attempt_id_seq IS 'Numbers of attempts.';
COMMENT ON TABLE crewsnow_ops.delivery_attempts IS
    'The answer to each claim of a message. Dumps do not contain it.';
COMMENT ON COLUMN crewsnow_ops.delivery_attempts.attempt_id IS 'Number of the row.';
COMMENT ON COLUMN crewsnow_ops.delivery_attempts.message_id IS 'The message.';
COMMENT ON COLUMN crewsnow_ops.delivery_attempts.channel IS 'The channel.';
COMMENT ON COLUMN crewsnow_ops.delivery_attempts.attempt IS 'Number of the attempt, from 1.';
COMMENT ON COLUMN crewsnow_ops.delivery_attempts.claimed_at IS 'Time of the claim.';
COMMENT ON COLUMN crewsnow_ops.delivery_attempts.answered_at IS 'Time of the answer.';
COMMENT ON COLUMN crewsnow_ops.delivery_attempts.outcome IS
    'sent; retry: it is tried again; refused: the receiver does not want it; lost: no answer came '
    'within the lease.';
COMMENT ON COLUMN crewsnow_ops.delivery_attempts.status IS
    'HTTP status or SMTP code of the receiver; NULL for none.';
COMMENT ON COLUMN crewsnow_ops.delivery_attempts.detail IS
    'Text of the sender, at most 1,000 characters.';
COMMENT ON COLUMN crewsnow_ops.delivery_attempts.sender IS
    'Login role (session_user) of the sender, and its application_name.';
COMMENT ON CONSTRAINT delivery_attempts_pkey ON crewsnow_ops.delivery_attempts IS
    'One row per attempt.';
COMMENT ON CONSTRAINT delivery_attempts_outcome_check ON crewsnow_ops.delivery_attempts IS
    'sent, retry, refused or lost.';
