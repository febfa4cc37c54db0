COMMENT ON FUNCTION crewsnow_ops.is_valid_event(text, text, numeric, jsonb, timestamptz) IS
    'CHECK of event_log. A role that inserts events must be able to execute it.';
-- Events, partitioned by day. The default partition takes rows of days without a partition, so an
-- insert never fails for want of one. roll_up_events makes the days later: they are ordinary tables
-- for pg_dump, while extension members would have to be registered one by one.
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
    -- One expression, because every INSERT prepares each CHECK again. It uses the size of the
    -- payload before compression.
    CONSTRAINT event_log_check CHECK (
        crewsnow_ops.is_valid_event(event_type, function_name, execution_time_ms, payload,
            created_at)
    )
) PARTITION BY RANGE (created_at);
CREATE TABLE crewsnow_ops.event_log_default PARTITION OF @extschema@.event_log DEFAULT USING heap;
-- On the partition, not on its parent: a day from a dump brings its own index.
CREATE INDEX event_log_default_tx_created_at_idx ON crewsnow_ops.event_log_default USING brin (tx,
    created_at);

COMMENT ON TABLE @extschema@.event_log IS
    'Events reported by Edge Functions and the application. Append-only: values can be erased, '
    'which is recorded, and not overwritten. INSERT, COPY and log_system_event count alike.';
COMMENT ON COLUMN @extschema@.event_log.id IS 'Id of the event; no unique index is promised.';
COMMENT ON COLUMN @extschema@.event_log.event_type IS 'Kind of event, 1 to 200 bytes.';
COMMENT ON COLUMN @extschema@.event_log.user_id IS
    'User concerned; NULL if none. May be erased by UPDATE.';
COMMENT ON COLUMN @extschema@.event_log.payload IS
    'JSON object of at most 256 kB. A call is a 5xx if its status_code, as text, starts with 5. '
    'All other keys may be erased by UPDATE.';
COMMENT ON COLUMN @extschema@.event_log.execution_time_ms IS
    'Execution time of a call, in milliseconds, from 0 to 24 hours; NULL if not measured.';
COMMENT ON COLUMN @extschema@.event_log.function_name IS
    'Called function, 1 to 200 bytes. Events with a function name are calls and monitored; NULL '
    'for other events.';
COMMENT ON COLUMN @extschema@.event_log.endpoint IS
    'Path of the request; NULL if unknown. May be erased by UPDATE.';
COMMENT ON COLUMN @extschema@.event_log.ip_address IS
    'Address of the client; NULL if unknown. May be erased by UPDATE.';
COMMENT ON COLUMN @extschema@.event_log.user_agent IS
    'User agent of the client; NULL if unknown. May be erased by UPDATE.';
COMMENT ON COLUMN @extschema@.event_log.created_at IS
    'Time of the event. The event counts in this minute, whenever the row arrives.';
COMMENT ON COLUMN @extschema@.event_log.tx IS
    'Transaction that inserted the row; a trigger overrides any given value. Rollups tell counted '
    'rows by it.';
COMMENT ON CONSTRAINT event_log_check ON @extschema@.event_log IS
    'event_type and function_name have 1 to 200 bytes; execution_time_ms is 0 to 24 hours; payload '
    'is an object of at most 256 kB; created_at is finite.';
-- Without a key, a publication of all tables would refuse erasures and retention.
ALTER TABLE @extschema@.event_log REPLICA IDENTITY FULL;
ALTER TABLE crewsnow_ops.event_log_default REPLICA IDENTITY FULL;
COMMENT ON TABLE crewsnow_ops.event_log_default IS 'Events of days without a partition.';
COMMENT ON INDEX crewsnow_ops.event_log_default_tx_created_at_idx IS
    'Finds the tail (rows that no rollup counts) and the rows of a period.';
DO $comments$
DECLARE
    command text;
BEGIN
    -- Copy the comments of columns and constraints from the parent.
    FOR command IN
        SELECT pg_catalog.format('COMMENT ON COLUMN crewsnow_ops.event_log_default.%I IS %L',
            a.attname, pg_catalog.col_description(a.attrelid, a.attnum))
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid OPERATOR(pg_catalog.=) '@extschema@.event_log'::pg_catalog.regclass
            AND a.attnum OPERATOR(pg_catalog.>) 0
        UNION ALL
        SELECT pg_catalog.format(
            'COMMENT ON CONSTRAINT %I ON crewsnow_ops.event_log_default IS %L',
            c.conname, pg_catalog.obj_description(c.oid, 'pg_constraint')
        )
        FROM pg_catalog.pg_constraint AS c
        WHERE c.conrelid OPERATOR(pg_catalog.=) '@extschema@.event_log'::pg_catalog.regclass
            AND c.contype OPERATOR(pg_catalog.=) 'c'
    LOOP
        EXECUTE command;
    END LOOP;
END
$comments$;

-- Stripe webhooks.
CREATE TABLE @extschema@.processed_events (
    event_id text NOT NULL,
    event_type text NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    status text NOT NULL DEFAULT 'processed',
    error_message text,
    attempts integer NOT NULL DEFAULT 1,
    received_at timestamptz,
    payload jsonb,
    failed_at timestamptz,
    CONSTRAINT processed_events_pkey PRIMARY KEY (event_id),
    CONSTRAINT processed_events_event_id_check CHECK (
        event_id OPERATOR(pg_catalog.<>) ''
            AND pg_catalog.octet_length(event_id) OPERATOR(pg_catalog.<=) 255
    ),
    CONSTRAINT processed_events_event_type_check CHECK (
        event_type OPERATOR(pg_catalog.<>) ''
            AND pg_catalog.octet_length(event_type) OPERATOR(pg_catalog.<=) 200
    ),
    CONSTRAINT processed_events_status_check CHECK (
        status OPERATOR(pg_catalog.=) ANY (ARRAY['received', 'processed', 'failed'])
    ),
    CONSTRAINT processed_events_attempts_check CHECK (attempts OPERATOR(pg_catalog.>=) 0),
    CONSTRAINT processed_events_times_check CHECK (pg_catalog.isfinite(processed_at)
        AND pg_catalog.isfinite(received_at) AND pg_catalog.isfinite(failed_at))
) USING heap;
CREATE INDEX processed_events_waiting_idx ON @extschema@.processed_events ((COALESCE(received_at,
    processed_at)))
    WHERE status OPERATOR(pg_catalog.=) 'received';
COMMENT ON TABLE @extschema@.processed_events IS
    'Stripe webhooks, one row per Stripe event id. status is the outcome of our processing, not '
    'the content of the event.';
COMMENT ON COLUMN @extschema@.processed_events.event_id IS
    'Stripe''s id of the event, 1 to 255 bytes. A redelivery updates the row.';
COMMENT ON COLUMN @extschema@.processed_events.event_type IS
    'Stripe''s type, such as invoice.payment_failed: 1 to 200 bytes.';
COMMENT ON COLUMN @extschema@.processed_events.processed_at IS
    'End of the last processing attempt; time of arrival before the first one. The webhook counts '
    'in this minute. A statement that sets status to processed or failed moves it.';
COMMENT ON COLUMN @extschema@.processed_events.status IS
    'received (not processed yet), processed or failed.';
COMMENT ON COLUMN @extschema@.processed_events.error_message IS
    'Error of the last attempt; NULL unless it failed.';
COMMENT ON COLUMN @extschema@.processed_events.attempts IS 'Number of deliveries.';
COMMENT ON COLUMN @extschema@.processed_events.received_at IS
    'Time of arrival; after a failure, of the redelivery. NULL if not recorded.';
COMMENT ON COLUMN @extschema@.processed_events.payload IS
    'Event as Stripe sent it; NULL if not kept.';
COMMENT ON COLUMN @extschema@.processed_events.failed_at IS
    'Time of the last failure; NULL if none, or once processed. A trigger sets it. Until the '
    'webhook is processed it counts as failed, also while it is received again.';
COMMENT ON CONSTRAINT processed_events_pkey ON @extschema@.processed_events IS
    'One row per Stripe event.';
COMMENT ON CONSTRAINT processed_events_event_id_check ON @extschema@.processed_events IS
    'event_id has 1 to 255 bytes.';
COMMENT ON CONSTRAINT processed_events_event_type_check ON @extschema@.processed_events IS
    'event_type has 1 to 200 bytes.';
COMMENT ON CONSTRAINT processed_events_status_check ON @extschema@.processed_events IS
    'status is received, processed or failed.';
COMMENT ON CONSTRAINT processed_events_attempts_check ON @extschema@.processed_events IS
    'attempts is not negative.';
COMMENT ON CONSTRAINT processed_events_times_check ON @extschema@.processed_events IS
    'processed_at, received_at and failed_at are finite.';
COMMENT ON INDEX @extschema@.processed_events_waiting_idx IS
    'Finds unprocessed webhooks, oldest first.';

-- Rollups.
CREATE TABLE crewsnow_ops.event_rollups (
    minute timestamptz NOT NULL,
    function_name text COLLATE pg_catalog."C" NOT NULL,
    calls bigint NOT NULL,
    errors_5xx bigint NOT NULL,
    over_5s bigint NOT NULL,
    last_call timestamptz NOT NULL,
    latency bytea NOT NULL,
    without_status bigint NOT NULL DEFAULT 0,
    CONSTRAINT event_rollups_pkey PRIMARY KEY (minute, function_name)
) USING heap WITH (fillfactor = 70);
COMMENT ON TABLE crewsnow_ops.event_rollups IS
    'Counted calls, one row per minute and function. The monitoring views add the tail.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.minute IS 'Start of the minute.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.function_name IS
    'Called function; (other) for all names beyond the first 10,000 of an hour.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.calls IS 'Number of calls.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.errors_5xx IS
    'Number of calls with a status_code that starts with 5.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.over_5s IS 'Number of calls longer than 5 seconds.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.last_call IS 'Time of the latest call.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.latency IS
    'Sketch of the execution times, as crewsnow_ops.latency_sketch makes it.';
COMMENT ON COLUMN crewsnow_ops.event_rollups.without_status IS
    'Number of calls without a usable status_code: their errors are unknown.';
COMMENT ON CONSTRAINT event_rollups_pkey ON crewsnow_ops.event_rollups IS
    'One row per minute and function.';

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
COMMENT ON TABLE crewsnow_ops.rollup_state IS
    'Coverage of event_rollups. Events of all other transactions are read from event_log.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.only_row IS
    'true: the table has one row, which roll-ups lock.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.covered IS
    'Snapshot that sees exactly the counted rows.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.system_identifier IS
    'Cluster that made the counts. In another cluster they are not used.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.database IS 'Database that made the counts.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.rolled_up_at IS 'Time of the last roll-up.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.mark_tx IS
    'With mark_lsn: transactions from this one on wrote only after that WAL position. Older pages '
    'are not read again.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.mark_lsn IS
    'WAL position at which no uncounted transaction had begun.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.newer_mark_tx IS
    'Next mark; replaces mark_tx once all older transactions have finished.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.newer_mark_lsn IS 'WAL position of the next mark.';
COMMENT ON COLUMN crewsnow_ops.rollup_state.has_strays IS
    'Whether events name transactions that never happened (written while triggers were disabled). '
    'If so, all pages are read.';
COMMENT ON CONSTRAINT rollup_state_pkey ON crewsnow_ops.rollup_state IS 'At most one row.';
COMMENT ON CONSTRAINT rollup_state_only_row_check ON crewsnow_ops.rollup_state IS
    'At most one row.';
INSERT INTO crewsnow_ops.rollup_state (covered, system_identifier, database, rolled_up_at)
    VALUES ('1:1:', 0, 0, '-infinity');

-- Separate from rollup_state, because a dump keeps it. Without a row nothing was dropped.
CREATE TABLE crewsnow_ops.raw_event_floor (
    only_row boolean NOT NULL DEFAULT true,
    floor timestamptz NOT NULL,
    CONSTRAINT raw_event_floor_pkey PRIMARY KEY (only_row),
    CONSTRAINT raw_event_floor_only_row_check CHECK (only_row)
) USING heap;
COMMENT ON TABLE crewsnow_ops.raw_event_floor IS
    'Limit of retention: for earlier times only rollups are left.';
COMMENT ON COLUMN crewsnow_ops.raw_event_floor.only_row IS 'true: the table has at most one row.';
COMMENT ON COLUMN crewsnow_ops.raw_event_floor.floor IS
    'Events before this time were dropped and are no longer counted.';
COMMENT ON CONSTRAINT raw_event_floor_pkey ON crewsnow_ops.raw_event_floor IS 'At most one row.';
COMMENT ON CONSTRAINT raw_event_floor_only_row_check ON crewsnow_ops.raw_event_floor IS
    'At most one row.';

-- Webhooks change after their insert, so each change is journalled as a difference of counts. A
-- roll-up moves journal rows into the counts; a statement sees either the one or the other.
CREATE TABLE crewsnow_ops.webhook_journal (
    minute timestamptz NOT NULL,
    events integer NOT NULL,
    failed integer NOT NULL
) USING heap;
-- Without a key, a publication of all tables would refuse the roll-up.
ALTER TABLE crewsnow_ops.webhook_journal REPLICA IDENTITY FULL;
CREATE INDEX webhook_journal_minute_idx ON crewsnow_ops.webhook_journal (minute);
COMMENT ON TABLE crewsnow_ops.webhook_journal IS
    'Changes of processed_events that webhook_rollups does not hold yet.';
COMMENT ON COLUMN crewsnow_ops.webhook_journal.minute IS 'Start of the changed minute.';
COMMENT ON COLUMN crewsnow_ops.webhook_journal.events IS
    'Change of the number of webhooks; negative if fewer.';
COMMENT ON COLUMN crewsnow_ops.webhook_journal.failed IS
    'Change of the number of failed webhooks; negative if fewer.';
COMMENT ON INDEX crewsnow_ops.webhook_journal_minute_idx IS
    'Finds the changes of the monitored minutes.';
CREATE TABLE crewsnow_ops.webhook_rollups (
    minute timestamptz NOT NULL,
    events bigint NOT NULL,
    failed bigint NOT NULL,
    CONSTRAINT webhook_rollups_pkey PRIMARY KEY (minute)
) USING heap WITH (fillfactor = 70);
COMMENT ON TABLE crewsnow_ops.webhook_rollups IS
    'Counted webhooks, one row per minute. webhook_journal holds the rest.';
COMMENT ON COLUMN crewsnow_ops.webhook_rollups.minute IS 'Start of the minute.';
COMMENT ON COLUMN crewsnow_ops.webhook_rollups.events IS
    'Number of webhooks with processed_at in the minute.';
COMMENT ON COLUMN crewsnow_ops.webhook_rollups.failed IS 'Number of failed webhooks among them.';
COMMENT ON CONSTRAINT webhook_rollups_pkey ON crewsnow_ops.webhook_rollups IS 'One row per minute.';

CREATE TABLE crewsnow_ops.webhook_reversals (
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    event_id text NOT NULL,
    old_status text NOT NULL,
    new_status text NOT NULL,
    changed_by text NOT NULL DEFAULT SESSION_USER
) USING heap;
ALTER TABLE crewsnow_ops.webhook_reversals REPLICA IDENTITY FULL;
CREATE INDEX webhook_reversals_changed_at_idx ON crewsnow_ops.webhook_reversals (changed_at);
COMMENT ON TABLE crewsnow_ops.webhook_reversals IS
    'Processed webhooks whose status an UPDATE set back. stripe_webhook_monitoring counts them.';
COMMENT ON COLUMN crewsnow_ops.webhook_reversals.changed_at IS 'Time of the UPDATE.';
COMMENT ON COLUMN crewsnow_ops.webhook_reversals.event_id IS 'Stripe''s id of the event.';
COMMENT ON COLUMN crewsnow_ops.webhook_reversals.old_status IS 'Status before, always processed.';
COMMENT ON COLUMN crewsnow_ops.webhook_reversals.new_status IS 'Status after: received or failed.';
COMMENT ON COLUMN crewsnow_ops.webhook_reversals.changed_by IS
    'Role that logged in and ran the UPDATE.';
COMMENT ON INDEX crewsnow_ops.webhook_reversals_changed_at_idx IS
    'Finds the latest reversals.';

-- One row per erased event. It names the event and the columns, and holds no erased value.
CREATE TABLE crewsnow_ops.event_erasures (
    erased_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    event_id uuid NOT NULL,
    columns text[] NOT NULL,
    erased_by text NOT NULL DEFAULT SESSION_USER,
    acting_as text NOT NULL
) USING heap;
CREATE INDEX event_erasures_event_id_idx ON crewsnow_ops.event_erasures (event_id);
COMMENT ON TABLE crewsnow_ops.event_erasures IS
    'Events of event_log from which an UPDATE erased values: which columns, when and by whom.';
COMMENT ON COLUMN crewsnow_ops.event_erasures.erased_at IS 'Time of the UPDATE.';
COMMENT ON COLUMN crewsnow_ops.event_erasures.event_id IS 'Id of the event.';
COMMENT ON COLUMN crewsnow_ops.event_erasures.columns IS
    'Columns that were blanked; payload if keys were removed from it.';
COMMENT ON COLUMN crewsnow_ops.event_erasures.erased_by IS 'Role that logged in.';
COMMENT ON COLUMN crewsnow_ops.event_erasures.acting_as IS
    'Role whose privileges were used.';
COMMENT ON INDEX crewsnow_ops.event_erasures_event_id_idx IS 'Finds the erasures of an event.';

CREATE TABLE crewsnow_ops.connection_samples (
    minute timestamptz NOT NULL,
    connections integer NOT NULL,
    CONSTRAINT connection_samples_pkey PRIMARY KEY (minute)
) USING heap WITH (fillfactor = 70);
COMMENT ON TABLE crewsnow_ops.connection_samples IS
    'Highest number of connections that a roll-up saw in each minute of the last day, for the '
    'dashboard.';
COMMENT ON COLUMN crewsnow_ops.connection_samples.minute IS 'Start of the minute.';
COMMENT ON COLUMN crewsnow_ops.connection_samples.connections IS
    'Number of client connections to all databases.';
COMMENT ON CONSTRAINT connection_samples_pkey ON crewsnow_ops.connection_samples IS
    'One row per minute.';

-- Triggers.
CREATE FUNCTION crewsnow_ops.event_log_before_insert() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'event_log_before_insert_wrapper';
COMMENT ON FUNCTION crewsnow_ops.event_log_before_insert() IS
    'Trigger: sets tx to the inserting transaction, also for rows from a dump or a publisher, and '
    'a missing id.';
CREATE FUNCTION crewsnow_ops.event_log_before_change() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'event_log_before_change_wrapper';
COMMENT ON FUNCTION crewsnow_ops.event_log_before_change() IS
    'Trigger: refuses to delete events and to overwrite their values. Records erased ones. Error '
    '42501.';
CREATE FUNCTION crewsnow_ops.event_log_before_truncate() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'event_log_before_truncate_wrapper';
COMMENT ON FUNCTION crewsnow_ops.event_log_before_truncate() IS
    'Trigger: discards the counts with the events.';
CREATE FUNCTION crewsnow_ops.processed_events_before_write() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'processed_events_before_write_wrapper';
COMMENT ON FUNCTION crewsnow_ops.processed_events_before_write() IS
    'Trigger: moves processed_at with the outcome, keeps failed_at, fills NULLs with defaults, and '
    'records a status that goes backwards.';
CREATE FUNCTION crewsnow_ops.processed_events_after_change() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'processed_events_after_change_wrapper';
COMMENT ON FUNCTION crewsnow_ops.processed_events_after_change() IS
    'Trigger: writes the change of counts to webhook_journal.';
CREATE FUNCTION crewsnow_ops.processed_events_before_truncate() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'processed_events_before_truncate_wrapper';
COMMENT ON FUNCTION crewsnow_ops.processed_events_before_truncate() IS
    'Trigger: discards the counts with the webhooks.';
REVOKE ALL ON FUNCTION crewsnow_ops.event_log_before_insert(),
    crewsnow_ops.event_log_before_change(),
    crewsnow_ops.event_log_before_truncate(), crewsnow_ops.processed_events_before_write(),
    crewsnow_ops.processed_events_after_change(),
    crewsnow_ops.processed_events_before_truncate() FROM PUBLIC;

-- The condition skips the trigger for ordinary rows: calling it for each would slow a bulk INSERT
-- by a quarter.
CREATE TRIGGER event_log_before_insert BEFORE INSERT ON @extschema@.event_log
    FOR EACH ROW WHEN (COALESCE(NEW.tx OPERATOR(pg_catalog.<>) pg_catalog.txid_current(), true)
        OR NEW.id IS NULL)
    EXECUTE FUNCTION crewsnow_ops.event_log_before_insert();
CREATE TRIGGER event_log_before_change BEFORE UPDATE OR DELETE ON @extschema@.event_log
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.event_log_before_change();
CREATE TRIGGER event_log_before_truncate BEFORE TRUNCATE ON @extschema@.event_log
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.event_log_before_truncate();
COMMENT ON TRIGGER event_log_before_insert ON @extschema@.event_log IS
    'Sets tx. Also fires for replicated rows.';
COMMENT ON TRIGGER event_log_before_change ON @extschema@.event_log IS
    'Keeps events append-only, for the owner too.';
COMMENT ON TRIGGER event_log_before_truncate ON @extschema@.event_log IS
    'Discards the counts with the events.';
COMMENT ON TRIGGER event_log_before_insert ON crewsnow_ops.event_log_default IS
    'Sets tx. Also fires for replicated rows.';
COMMENT ON TRIGGER event_log_before_change ON crewsnow_ops.event_log_default IS
    'Keeps events append-only, for the owner too.';
ALTER TABLE @extschema@.event_log
    ENABLE ALWAYS TRIGGER event_log_before_insert,
    ENABLE ALWAYS TRIGGER event_log_before_change,
    ENABLE ALWAYS TRIGGER event_log_before_truncate;
CREATE TRIGGER processed_events_before_write BEFORE INSERT OR UPDATE
    ON @extschema@.processed_events
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.processed_events_before_write();
CREATE TRIGGER processed_events_after_change AFTER INSERT OR UPDATE
    OR DELETE ON @extschema@.processed_events
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.processed_events_after_change();
CREATE TRIGGER processed_events_before_truncate BEFORE TRUNCATE ON @extschema@.processed_events
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.processed_events_before_truncate();
COMMENT ON TRIGGER processed_events_before_write ON @extschema@.processed_events IS
    'Keeps processed_at and failed_at in step with status.';
COMMENT ON TRIGGER processed_events_after_change ON @extschema@.processed_events IS
    'Writes webhook_journal. Also fires for replicated changes.';
COMMENT ON TRIGGER processed_events_before_truncate ON @extschema@.processed_events IS
    'Discards the counts with the webhooks.';
ALTER TABLE @extschema@.processed_events
    ENABLE ALWAYS TRIGGER processed_events_before_write,
    ENABLE ALWAYS TRIGGER processed_events_after_change,
    ENABLE ALWAYS TRIGGER processed_events_before_truncate;

-- Tables whose rows pg_dump keeps: events, webhooks, and counts of dropped events. Other counts are
-- made again from the restored rows.
SELECT pg_catalog.pg_extension_config_dump('@extschema@.event_log', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.event_log_default', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.processed_events', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.webhook_reversals', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.event_erasures', '');
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
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.webhook_reversals'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.event_erasures'),
    -- INSERT … RETURNING needs SELECT. These columns tell nothing about users.
    ('writer', 'INSERT, SELECT (id, created_at, tx)', 'TABLE', '@extschema@.event_log'),
    ('writer', 'SELECT, INSERT, UPDATE', 'TABLE', '@extschema@.processed_events'),
    ('operator', 'SELECT, UPDATE', 'TABLE', '@extschema@.event_log'),
    ('operator', 'DELETE', 'TABLE', '@extschema@.processed_events');
