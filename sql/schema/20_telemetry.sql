COMMENT ON FUNCTION crewsnow_ops.is_valid_event(text, text, numeric, jsonb, timestamptz) IS 'What the CHECK of event_log asks. Whoever may insert must be able to call it.';
-- Events. Partitioned by day; the default partition takes what no day has, so a row never fails for want of a partition. Days are made
-- later, by roll_up_events: they are ordinary tables, which pg_dump carries as such, while members have to be registered one by one.
CREATE TABLE @extschema@.event_log (
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    event_type text NOT NULL,
    user_id uuid,
    payload jsonb DEFAULT '{}',
    execution_time_ms numeric,
    function_name text,
    endpoint text,
    ip_address inet,
    user_agent text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    tx bigint NOT NULL DEFAULT pg_catalog.txid_current(),
    -- One expression, because the server prepares each anew for every INSERT; and by the payload's own size, not by how it is stored.
    CONSTRAINT event_log_check CHECK (
        crewsnow_ops.is_valid_event(event_type, function_name, execution_time_ms, payload, created_at)
    )
) PARTITION BY RANGE (created_at);
CREATE TABLE crewsnow_ops.event_log_default PARTITION OF @extschema@.event_log DEFAULT USING heap;
-- On the partition and not on its parent: a day from a dump brings its own index along.
CREATE INDEX event_log_default_tx_created_at_idx ON crewsnow_ops.event_log_default USING brin (tx, created_at);

COMMENT ON TABLE @extschema@.event_log IS 'What Edge Functions and the application report. Append-only; INSERT, COPY and log_system_event count the same.';
COMMENT ON COLUMN @extschema@.event_log.id IS 'The event; no unique index is promised.';
COMMENT ON COLUMN @extschema@.event_log.event_type IS 'What happened: 1 to 200 bytes.';
COMMENT ON COLUMN @extschema@.event_log.user_id IS 'The user concerned, if any. May be erased by UPDATE.';
COMMENT ON COLUMN @extschema@.event_log.payload IS 'An object of at most 256 kB. A call whose status_code, as text, starts with 5 is an error of the server. All else may be erased by UPDATE.';
COMMENT ON COLUMN @extschema@.event_log.execution_time_ms IS 'How long a call took, in milliseconds, from 0 to 24 hours; NULL when nobody measured.';
COMMENT ON COLUMN @extschema@.event_log.function_name IS 'The function that was called, 1 to 200 bytes. Events with one are calls, and monitored; others are only kept.';
COMMENT ON COLUMN @extschema@.event_log.endpoint IS 'The path of the request.';
COMMENT ON COLUMN @extschema@.event_log.ip_address IS 'Address of the client. May be erased by UPDATE.';
COMMENT ON COLUMN @extschema@.event_log.user_agent IS 'The client as it calls itself. May be erased by UPDATE.';
COMMENT ON COLUMN @extschema@.event_log.created_at IS 'When it happened. Whenever the row arrives, it counts in this minute.';
COMMENT ON COLUMN @extschema@.event_log.tx IS 'The transaction that inserted the row, whatever is given: what rollups tell counted rows by.';
COMMENT ON CONSTRAINT event_log_check ON @extschema@.event_log IS 'Type and function of 1 to 200 bytes; 0 to 24 hours, in milliseconds, neither NaN nor infinite; a payload that is an object of at most 256 kB; a time that is not infinite.';
COMMENT ON TABLE crewsnow_ops.event_log_default IS 'Events of days that have no partition of their own.';
COMMENT ON INDEX crewsnow_ops.event_log_default_tx_created_at_idx IS 'Finds the rows that no rollup has counted, and those of a period.';
DO $comments$
DECLARE
    command text;
BEGIN
    -- A partition's columns and constraints are its parent's, and so is what is said of them.
    FOR command IN
        SELECT pg_catalog.format('COMMENT ON COLUMN crewsnow_ops.event_log_default.%I IS %L', a.attname, pg_catalog.col_description(a.attrelid, a.attnum))
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid OPERATOR(pg_catalog.=) '@extschema@.event_log'::pg_catalog.regclass AND a.attnum OPERATOR(pg_catalog.>) 0
        UNION ALL
        SELECT pg_catalog.format('COMMENT ON CONSTRAINT %I ON crewsnow_ops.event_log_default IS %L', c.conname, pg_catalog.obj_description(c.oid, 'pg_constraint'))
        FROM pg_catalog.pg_constraint AS c
        WHERE c.conrelid OPERATOR(pg_catalog.=) '@extschema@.event_log'::pg_catalog.regclass AND c.contype OPERATOR(pg_catalog.=) 'c'
    LOOP
        EXECUTE command;
    END LOOP;
END
$comments$;

-- Stripe's webhooks.
CREATE TABLE @extschema@.processed_events (
    event_id text NOT NULL,
    event_type text NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    status text NOT NULL DEFAULT 'processed',
    error_message text,
    attempts integer NOT NULL DEFAULT 1,
    received_at timestamptz,
    payload jsonb,
    CONSTRAINT processed_events_pkey PRIMARY KEY (event_id),
    CONSTRAINT processed_events_event_id_check CHECK (
        event_id OPERATOR(pg_catalog.<>) '' AND pg_catalog.octet_length(event_id) OPERATOR(pg_catalog.<=) 255
    ),
    CONSTRAINT processed_events_event_type_check CHECK (
        event_type OPERATOR(pg_catalog.<>) '' AND pg_catalog.octet_length(event_type) OPERATOR(pg_catalog.<=) 200
    ),
    CONSTRAINT processed_events_status_check CHECK (status OPERATOR(pg_catalog.=) ANY (ARRAY['received', 'processed', 'failed'])),
    CONSTRAINT processed_events_attempts_check CHECK (attempts OPERATOR(pg_catalog.>=) 0),
    CONSTRAINT processed_events_times_check CHECK (pg_catalog.isfinite(processed_at) AND pg_catalog.isfinite(received_at))
) USING heap;
CREATE INDEX processed_events_waiting_idx ON @extschema@.processed_events ((COALESCE(received_at, processed_at)))
    WHERE status OPERATOR(pg_catalog.=) 'received';
COMMENT ON TABLE @extschema@.processed_events IS 'Stripe''s webhooks, once each by Stripe''s id. status says how our processing went, not what the event reports.';
COMMENT ON COLUMN @extschema@.processed_events.event_id IS 'Stripe''s id of the event, 1 to 255 bytes: what makes a redelivery no second row.';
COMMENT ON COLUMN @extschema@.processed_events.event_type IS 'Stripe''s type, such as invoice.payment_failed: 1 to 200 bytes.';
COMMENT ON COLUMN @extschema@.processed_events.processed_at IS 'When the last attempt to process it ended, or when it arrived if there was none. The minute that it is monitored in.';
COMMENT ON COLUMN @extschema@.processed_events.status IS 'received (not processed yet), processed or failed.';
COMMENT ON COLUMN @extschema@.processed_events.error_message IS 'Why the last attempt failed.';
COMMENT ON COLUMN @extschema@.processed_events.attempts IS 'How often it was delivered to us.';
COMMENT ON COLUMN @extschema@.processed_events.received_at IS 'When it arrived; after a failure, when it was delivered again.';
COMMENT ON COLUMN @extschema@.processed_events.payload IS 'The event as Stripe sent it, for those who keep it.';
COMMENT ON CONSTRAINT processed_events_pkey ON @extschema@.processed_events IS 'An event has one row.';
COMMENT ON CONSTRAINT processed_events_event_id_check ON @extschema@.processed_events IS '1 to 255 bytes.';
COMMENT ON CONSTRAINT processed_events_event_type_check ON @extschema@.processed_events IS '1 to 200 bytes.';
COMMENT ON CONSTRAINT processed_events_status_check ON @extschema@.processed_events IS 'The three states.';
COMMENT ON CONSTRAINT processed_events_attempts_check ON @extschema@.processed_events IS 'Not negative.';
COMMENT ON CONSTRAINT processed_events_times_check ON @extschema@.processed_events IS 'Not infinite.';
COMMENT ON INDEX @extschema@.processed_events_waiting_idx IS 'Finds what waits to be processed.';

-- What has been counted.
CREATE TABLE crewsnow_ops.event_rollups (
    minute timestamptz NOT NULL,
    function_name text COLLATE pg_catalog."C" NOT NULL,
    calls bigint NOT NULL,
    errors_5xx bigint NOT NULL,
    over_5s bigint NOT NULL,
    last_call timestamptz NOT NULL,
    latency bytea NOT NULL,
    CONSTRAINT event_rollups_pkey PRIMARY KEY (minute, function_name)
) USING heap WITH (fillfactor = 70);
COMMENT ON TABLE crewsnow_ops.event_rollups IS 'Calls counted so far, a row a minute and function. Read it through the monitoring views, which add what is not counted yet.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.minute IS 'The beginning of the minute, which ends before the next.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.function_name IS 'The function.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.calls IS 'How many calls.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.errors_5xx IS 'How many with a status code that starts with 5.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.over_5s IS 'How many that took longer than 5 seconds.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.last_call IS 'The latest of them.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.latency IS 'Their execution times, as crewsnow_ops.latency_sketch makes it.';
COMMENT ON CONSTRAINT event_rollups_pkey ON crewsnow_ops.event_rollups IS 'A function has one row a minute.';

CREATE TABLE crewsnow_ops.rollup_state (
    only_row boolean NOT NULL DEFAULT true,
    covered pg_snapshot NOT NULL,
    system_identifier bigint NOT NULL,
    database oid NOT NULL,
    rolled_up_at timestamptz NOT NULL,
    mark_tx bigint NOT NULL DEFAULT 0,
    mark_lsn pg_lsn NOT NULL DEFAULT '0/0',
    newer_mark_tx bigint NOT NULL DEFAULT 0,
    newer_mark_lsn pg_lsn NOT NULL DEFAULT '0/0',
    has_strays boolean NOT NULL DEFAULT false,
    CONSTRAINT rollup_state_pkey PRIMARY KEY (only_row),
    CONSTRAINT rollup_state_only_row_check CHECK (only_row)
) USING heap;
COMMENT ON TABLE crewsnow_ops.rollup_state IS 'Which transactions'' events are in event_rollups. All others are read from event_log.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.only_row IS 'There is one row, which roll-ups lock.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.covered IS 'The rows that this snapshot sees are counted, and no others.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.system_identifier IS 'The cluster that counted: in another one the counts are not believed.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.database IS 'The database that counted.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.rolled_up_at IS 'When it last did.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.mark_tx IS 'With mark_lsn: transactions from this one on have written only after that position of the WAL. Pages that have not changed since are not read again.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.mark_lsn IS 'The position, of a time when every transaction that is not counted had not begun.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.newer_mark_tx IS 'The mark that takes its place once the transactions before it have finished.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.newer_mark_lsn IS 'Its position.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.has_strays IS 'Whether there are events of transactions that have not happened, written while triggers were off. All pages are read then.';
COMMENT ON CONSTRAINT rollup_state_pkey ON crewsnow_ops.rollup_state IS 'One row.';
COMMENT ON CONSTRAINT rollup_state_only_row_check ON crewsnow_ops.rollup_state IS 'One row.';
INSERT INTO crewsnow_ops.rollup_state (covered, system_identifier, database, rolled_up_at) VALUES ('1:1:', 0, 0, '-infinity');

-- Kept apart from the state, because a dump carries it. Without a row nothing has been dropped.
CREATE TABLE crewsnow_ops.raw_event_floor (
    only_row boolean NOT NULL DEFAULT true,
    floor timestamptz NOT NULL,
    CONSTRAINT raw_event_floor_pkey PRIMARY KEY (only_row),
    CONSTRAINT raw_event_floor_only_row_check CHECK (only_row)
) USING heap;
COMMENT ON TABLE crewsnow_ops.raw_event_floor IS 'Up to when events have been dropped by retention: before it the rollups are all there is.';
COMMENT ON COLUMN crewsnow_ops.raw_event_floor.only_row IS 'At most one row.';
COMMENT ON COLUMN crewsnow_ops.raw_event_floor.floor IS 'Events before this are no longer counted.';
COMMENT ON CONSTRAINT raw_event_floor_pkey ON crewsnow_ops.raw_event_floor IS 'At most one row.';
COMMENT ON CONSTRAINT raw_event_floor_only_row_check ON crewsnow_ops.raw_event_floor IS 'At most one row.';

-- Webhooks change after they were inserted, so each change is journalled as what it adds to a minute; rolling up moves the journal's
-- rows into the counts. A statement sees either the one or the other.
CREATE TABLE crewsnow_ops.webhook_journal (
    minute timestamptz NOT NULL,
    events integer NOT NULL,
    failed integer NOT NULL
) USING heap;
CREATE INDEX webhook_journal_minute_idx ON crewsnow_ops.webhook_journal (minute);
COMMENT ON TABLE crewsnow_ops.webhook_journal IS 'Changes of processed_events that webhook_rollups does not hold yet.';
COMMENT ON COLUMN crewsnow_ops.webhook_journal.minute IS 'The minute that changed.';
COMMENT ON COLUMN crewsnow_ops.webhook_journal.events IS 'How many events it has more.';
COMMENT ON COLUMN crewsnow_ops.webhook_journal.failed IS 'How many failed ones it has more.';
COMMENT ON INDEX crewsnow_ops.webhook_journal_minute_idx IS 'For the minutes that are monitored.';
CREATE TABLE crewsnow_ops.webhook_rollups (
    minute timestamptz NOT NULL,
    events bigint NOT NULL,
    failed bigint NOT NULL,
    CONSTRAINT webhook_rollups_pkey PRIMARY KEY (minute)
) USING heap WITH (fillfactor = 70);
COMMENT ON TABLE crewsnow_ops.webhook_rollups IS 'Webhooks counted so far, a row a minute; the journal holds the rest.';
COMMENT ON COLUMN crewsnow_ops.webhook_rollups.minute IS 'The beginning of the minute.';
COMMENT ON COLUMN crewsnow_ops.webhook_rollups.events IS 'How many events have their processed_at in it.';
COMMENT ON COLUMN crewsnow_ops.webhook_rollups.failed IS 'How many of them are failed.';
COMMENT ON CONSTRAINT webhook_rollups_pkey ON crewsnow_ops.webhook_rollups IS 'One row a minute.';

CREATE TABLE crewsnow_ops.connection_samples (
    minute timestamptz NOT NULL,
    connections integer NOT NULL,
    CONSTRAINT connection_samples_pkey PRIMARY KEY (minute)
) USING heap WITH (fillfactor = 70);
COMMENT ON TABLE crewsnow_ops.connection_samples IS 'The most connections that a roll-up saw in each minute of the last day, for the dashboard.';
COMMENT ON COLUMN crewsnow_ops.connection_samples.minute IS 'The beginning of the minute.';
COMMENT ON COLUMN crewsnow_ops.connection_samples.connections IS 'How many client connections, of all databases.';
COMMENT ON CONSTRAINT connection_samples_pkey ON crewsnow_ops.connection_samples IS 'One row a minute.';

-- Triggers.
CREATE FUNCTION crewsnow_ops.event_log_before_insert() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'event_log_before_insert_wrapper';
COMMENT ON FUNCTION crewsnow_ops.event_log_before_insert() IS 'Trigger: a row belongs to the transaction that inserts it, also when it comes from a dump or a publisher.';
CREATE FUNCTION crewsnow_ops.event_log_before_change() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'event_log_before_change_wrapper';
COMMENT ON FUNCTION crewsnow_ops.event_log_before_change() IS 'Trigger: refuses to remove events, and to change what has been counted. SQLSTATE 42501.';
CREATE FUNCTION crewsnow_ops.event_log_before_truncate() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'event_log_before_truncate_wrapper';
COMMENT ON FUNCTION crewsnow_ops.event_log_before_truncate() IS 'Trigger: what was counted goes with the events.';
CREATE FUNCTION crewsnow_ops.processed_events_after_change() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'processed_events_after_change_wrapper';
COMMENT ON FUNCTION crewsnow_ops.processed_events_after_change() IS 'Trigger: keeps the journal.';
CREATE FUNCTION crewsnow_ops.processed_events_before_truncate() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'processed_events_before_truncate_wrapper';
COMMENT ON FUNCTION crewsnow_ops.processed_events_before_truncate() IS 'Trigger: what was counted goes with the webhooks.';
REVOKE ALL ON FUNCTION crewsnow_ops.event_log_before_insert(), crewsnow_ops.event_log_before_change(),
    crewsnow_ops.event_log_before_truncate(), crewsnow_ops.processed_events_after_change(),
    crewsnow_ops.processed_events_before_truncate() FROM PUBLIC;

-- The condition keeps the trigger out of the way of ordinary rows: calling it for each would slow a bulk INSERT by a quarter.
CREATE TRIGGER event_log_before_insert BEFORE INSERT ON @extschema@.event_log
    FOR EACH ROW WHEN (NOT (NEW.tx OPERATOR(pg_catalog.=) pg_catalog.txid_current()))
    EXECUTE FUNCTION crewsnow_ops.event_log_before_insert();
CREATE TRIGGER event_log_before_change BEFORE UPDATE OR DELETE ON @extschema@.event_log
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.event_log_before_change();
CREATE TRIGGER event_log_before_truncate BEFORE TRUNCATE ON @extschema@.event_log
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.event_log_before_truncate();
COMMENT ON TRIGGER event_log_before_insert ON @extschema@.event_log IS 'The inserting transaction. Also fires for replicated rows.';
COMMENT ON TRIGGER event_log_before_change ON @extschema@.event_log IS 'Append-only for everybody, the owner included.';
COMMENT ON TRIGGER event_log_before_truncate ON @extschema@.event_log IS 'Counts go with the events.';
COMMENT ON TRIGGER event_log_before_insert ON crewsnow_ops.event_log_default IS 'The inserting transaction. Also fires for replicated rows.';
COMMENT ON TRIGGER event_log_before_change ON crewsnow_ops.event_log_default IS 'Append-only for everybody, the owner included.';
ALTER TABLE @extschema@.event_log
    ENABLE ALWAYS TRIGGER event_log_before_insert,
    ENABLE ALWAYS TRIGGER event_log_before_change,
    ENABLE ALWAYS TRIGGER event_log_before_truncate;
CREATE TRIGGER processed_events_after_change AFTER INSERT OR UPDATE OR DELETE ON @extschema@.processed_events
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.processed_events_after_change();
CREATE TRIGGER processed_events_before_truncate BEFORE TRUNCATE ON @extschema@.processed_events
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.processed_events_before_truncate();
COMMENT ON TRIGGER processed_events_after_change ON @extschema@.processed_events IS 'The journal. Also fires for replicated changes.';
COMMENT ON TRIGGER processed_events_before_truncate ON @extschema@.processed_events IS 'Counts go with the webhooks.';
ALTER TABLE @extschema@.processed_events
    ENABLE ALWAYS TRIGGER processed_events_after_change,
    ENABLE ALWAYS TRIGGER processed_events_before_truncate;

-- What pg_dump carries: what happened, and counts of what is no longer there. Other counts are made anew from the restored rows.
SELECT pg_catalog.pg_extension_config_dump('@extschema@.event_log', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.event_log_default', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.processed_events', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.raw_event_floor', '');
SELECT pg_catalog.pg_extension_config_dump(
    'crewsnow_ops.event_rollups',
    'WHERE minute OPERATOR(pg_catalog.<) (SELECT f.floor FROM crewsnow_ops.raw_event_floor AS f)'
);

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.event_rollups'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.webhook_rollups'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.webhook_journal'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.rollup_state'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.raw_event_floor'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.connection_samples'),
    ('writer', 'INSERT', 'TABLE', '@extschema@.event_log'),
    ('writer', 'SELECT, INSERT, UPDATE', 'TABLE', '@extschema@.processed_events'),
    ('operator', 'SELECT, UPDATE', 'TABLE', '@extschema@.event_log'),
    ('operator', 'DELETE', 'TABLE', '@extschema@.processed_events');
