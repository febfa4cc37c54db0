-- Feature flags. An evaluation scans the table as a heap, so default_table_access_method must not
-- apply.
CREATE TABLE @extschema@.feature_flags (
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    flag_key text COLLATE pg_catalog."C" NOT NULL,
    flag_name text NOT NULL,
    description text,
    is_enabled boolean NOT NULL DEFAULT false,
    rollout_percentage integer NOT NULL DEFAULT 100,
    target_user_ids uuid[] NOT NULL DEFAULT '{}',
    target_premium_only boolean NOT NULL DEFAULT false,
    target_regions text[] NOT NULL DEFAULT '{}',
    module_name text,
    feature_category text NOT NULL DEFAULT 'experimental',
    created_by text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    last_checked_at timestamptz,
    target_segments text[] NOT NULL DEFAULT '{}',
    rollout_group text COLLATE pg_catalog."C" NOT NULL,
    CONSTRAINT feature_flags_pkey PRIMARY KEY (id),
    CONSTRAINT feature_flags_flag_key_key UNIQUE (flag_key),
    CONSTRAINT feature_flags_flag_key_check CHECK (
        pg_catalog.char_length(flag_key) OPERATOR(pg_catalog.<=) 100
        AND flag_key OPERATOR(pg_catalog.~) '^[A-Za-z0-9._~-]+$'
    ),
    CONSTRAINT feature_flags_rollout_percentage_check CHECK (
        rollout_percentage OPERATOR(pg_catalog.>=) 0
            AND rollout_percentage OPERATOR(pg_catalog.<=) 100
    ),
    CONSTRAINT feature_flags_feature_category_check CHECK (
        feature_category OPERATOR(pg_catalog.=) ANY (ARRAY['core', 'premium', 'experimental',
            'beta', 'maintenance'])
    )
) USING heap;

COMMENT ON TABLE @extschema@.feature_flags IS
    'Feature flags and kill switches. Change them with update_feature_flag or plain SQL; '
    'crewsnow_ops.flag_history records every change.';
COMMENT ON COLUMN @extschema@.feature_flags.id IS
    'Identity of the flag; never changes. flag_history refers to it.';
COMMENT ON COLUMN @extschema@.feature_flags.flag_key IS
    'Key that the application evaluates: 1 to 100 letters, digits, . _ ~ or -.';
COMMENT ON COLUMN @extschema@.feature_flags.flag_name IS 'Display name; defaults to the key.';
COMMENT ON COLUMN @extschema@.feature_flags.description IS
    'Purpose of the flag; NULL if not documented.';
COMMENT ON COLUMN @extschema@.feature_flags.is_enabled IS
    'false turns the feature off for all users and overrides every other column.';
COMMENT ON COLUMN @extschema@.feature_flags.rollout_percentage IS
    'Share of users, in percent (0 to 100), who have the feature while it is enabled.';
COMMENT ON COLUMN @extschema@.feature_flags.target_user_ids IS
    'Users who always have the feature while it is enabled, whatever the targeting and percentage.';
COMMENT ON COLUMN @extschema@.feature_flags.target_premium_only IS
    'true restricts the feature to users with crewsnow_ops.user_context.is_premium.';
COMMENT ON COLUMN @extschema@.feature_flags.target_regions IS
    'Restricts the feature to users whose crewsnow_ops.user_context.region is in the list; empty '
    'for all regions. NULL is refused.';
COMMENT ON COLUMN @extschema@.feature_flags.module_name IS
    'Part of the application that the flag belongs to; NULL if unknown.';
COMMENT ON COLUMN @extschema@.feature_flags.feature_category IS
    'core, premium, experimental, beta or maintenance. Emergency statements select flags by it.';
COMMENT ON COLUMN @extschema@.feature_flags.created_by IS
    'Author of the flag: p_updated_by if given, otherwise the role (current_user).';
COMMENT ON COLUMN @extschema@.feature_flags.created_at IS 'Time of creation.';
COMMENT ON COLUMN @extschema@.feature_flags.updated_at IS
    'Time of the last change of any column but last_checked_at. Set by a trigger; strictly '
    'increasing for each flag. A change that sets it to an older time is refused (error 40001): '
    'its row was read before the last change.';
COMMENT ON COLUMN @extschema@.feature_flags.last_checked_at IS
    'Time of the last review, set by the team; NULL if never reviewed. Setting it is not recorded '
    'as a change.';
COMMENT ON COLUMN @extschema@.feature_flags.target_segments IS
    'Restricts the feature to users with at least one of these in '
    'crewsnow_ops.user_context.segments; empty for all users.';
COMMENT ON COLUMN @extschema@.feature_flags.rollout_group IS
    'Input of the bucket hash, beside the user id. Defaults to the key at creation and never '
    'changes, so renaming a flag moves no user. Flags with the same group pick the same users.';
-- Not UNIQUE: INSERT ... ON CONFLICT (flag_key) would fail on it when two sessions insert a key.
CREATE INDEX feature_flags_lower_key_idx ON @extschema@.feature_flags
    (pg_catalog.lower(flag_key));
COMMENT ON INDEX @extschema@.feature_flags_lower_key_idx IS
    'Finds keys that differ in case alone, which a trigger refuses.';
COMMENT ON CONSTRAINT feature_flags_pkey ON @extschema@.feature_flags IS 'One row per flag.';
COMMENT ON CONSTRAINT feature_flags_flag_key_key ON @extschema@.feature_flags IS 'Keys are unique.';
COMMENT ON CONSTRAINT feature_flags_flag_key_check ON @extschema@.feature_flags IS
    '1 to 100 letters, digits, . _ ~ or -: characters that a URL carries unescaped.';
COMMENT ON CONSTRAINT feature_flags_rollout_percentage_check ON @extschema@.feature_flags IS
    'rollout_percentage is 0 to 100.';
COMMENT ON CONSTRAINT feature_flags_feature_category_check ON @extschema@.feature_flags IS
    'feature_category is core, premium, experimental, beta or maintenance.';

-- The launch configuration as installed. It never changes, so that unchanged flags are known.
CREATE TABLE crewsnow_ops.launch_flags (LIKE @extschema@.feature_flags INCLUDING COMMENTS,
    CONSTRAINT launch_flags_pkey PRIMARY KEY (id)) USING heap;
COMMENT ON TABLE crewsnow_ops.launch_flags IS
    'Flags as CREATE EXTENSION made them. A restored dump replaces those that were not changed '
    'since.';
COMMENT ON CONSTRAINT launch_flags_pkey ON crewsnow_ops.launch_flags IS 'One row per flag.';

-- User properties for targeting.
CREATE TABLE crewsnow_ops.user_context (
    user_id uuid NOT NULL,
    is_premium boolean NOT NULL DEFAULT false,
    region text,
    segments text[] NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT user_context_pkey PRIMARY KEY (user_id)
) USING heap;
COMMENT ON TABLE crewsnow_ops.user_context IS
    'User properties that targeting compares. The application maintains the rows, for example by a '
    'trigger on its subscriptions. A user without a row meets no targeting condition.';
COMMENT ON COLUMN crewsnow_ops.user_context.user_id IS 'Id of the user.';
COMMENT ON COLUMN crewsnow_ops.user_context.is_premium IS
    'Whether the user meets target_premium_only.';
COMMENT ON COLUMN crewsnow_ops.user_context.region IS
    'Region of the user, compared byte by byte with target_regions; NULL if unknown.';
COMMENT ON COLUMN crewsnow_ops.user_context.segments IS
    'Segments of the user, compared byte by byte with target_segments.';
COMMENT ON COLUMN crewsnow_ops.user_context.updated_at IS
    'Time of the last write, maintained by the application.';
COMMENT ON CONSTRAINT user_context_pkey ON crewsnow_ops.user_context IS
    'One row per user. An evaluation looks the user up by it.';

-- The flag history. The changes of a flag are strictly ordered in time, so flag_id and changed_at
-- are the key. No sequence has to survive a dump.
CREATE TABLE crewsnow_ops.flag_history (
    flag_id uuid NOT NULL,
    changed_at timestamptz NOT NULL,
    flag_key text COLLATE pg_catalog."C" NOT NULL,
    operation text NOT NULL,
    before jsonb,
    after jsonb,
    session_user_name text NOT NULL,
    current_user_name text NOT NULL,
    updated_by text,
    reason text,
    application_name text,
    client_addr inet,
    xid xid8 NOT NULL,
    jwt_subject text,
    CONSTRAINT flag_history_pkey PRIMARY KEY (flag_id, changed_at),
    CONSTRAINT flag_history_operation_check CHECK (
        operation OPERATOR(pg_catalog.=) ANY (ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'])
    )
) USING heap;
CREATE INDEX flag_history_changed_at_idx ON crewsnow_ops.flag_history (changed_at);
COMMENT ON TABLE crewsnow_ops.flag_history IS
    'Every change of a flag by function, SQL, COPY or replication, written in the same '
    'transaction. Append-only, for the owner too; crewsnow_ops.erase_user_from_flags blanks a user '
    'and leaves a record.';
COMMENT ON COLUMN crewsnow_ops.flag_history.flag_id IS
    'feature_flags.id; the flag may have been removed since.';
COMMENT ON COLUMN crewsnow_ops.flag_history.changed_at IS
    'Time of the change (clock time, not transaction start); strictly increasing for each flag.';
COMMENT ON COLUMN crewsnow_ops.flag_history.flag_key IS
    'Key of the flag after the change; for a removal, before it.';
COMMENT ON COLUMN crewsnow_ops.flag_history.operation IS 'INSERT, UPDATE, DELETE or TRUNCATE.';
COMMENT ON COLUMN crewsnow_ops.flag_history.before IS
    'Row before the change, all columns; NULL for an INSERT. Times are in UTC.';
COMMENT ON COLUMN crewsnow_ops.flag_history.after IS
    'Row after the change, all columns; NULL for DELETE and TRUNCATE. Times are in UTC.';
COMMENT ON COLUMN crewsnow_ops.flag_history.session_user_name IS
    'Role that logged in (session_user).';
COMMENT ON COLUMN crewsnow_ops.flag_history.current_user_name IS
    'Role that made the change (current_user).';
COMMENT ON COLUMN crewsnow_ops.flag_history.updated_by IS
    'p_updated_by of update_feature_flag: the author, as the caller states it; NULL if not given.';
COMMENT ON COLUMN crewsnow_ops.flag_history.reason IS
    'p_reason of the function that made the change, otherwise the setting '
    'crewsnow_ops.change_reason; NULL if neither is set.';
COMMENT ON COLUMN crewsnow_ops.flag_history.application_name IS 'application_name of the session.';
COMMENT ON COLUMN crewsnow_ops.flag_history.client_addr IS
    'Address of the client; NULL on a Unix socket.';
COMMENT ON COLUMN crewsnow_ops.flag_history.xid IS
    'Transaction id. Changes of one transaction share it, within the cluster that made them.';
COMMENT ON COLUMN crewsnow_ops.flag_history.jwt_subject IS
    'Subject (sub) of the JWT of the request, by the setting crewsnow_ops.claims, as the session '
    'states it; NULL without a JWT.';
COMMENT ON CONSTRAINT flag_history_pkey ON crewsnow_ops.flag_history IS
    'The changes of a flag are strictly ordered in time.';
COMMENT ON CONSTRAINT flag_history_operation_check ON crewsnow_ops.flag_history IS
    'operation is INSERT, UPDATE, DELETE or TRUNCATE.';
COMMENT ON INDEX crewsnow_ops.flag_history_changed_at_idx IS 'Finds the changes of a period.';

-- Erasures of users from the history. The only way to change a history row.
CREATE TABLE crewsnow_ops.flag_history_erasures (
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    erased_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    session_user_name text NOT NULL,
    current_user_name text NOT NULL,
    reason text NOT NULL,
    history_rows bigint NOT NULL,
    CONSTRAINT flag_history_erasures_pkey PRIMARY KEY (id)
) USING heap;
COMMENT ON TABLE crewsnow_ops.flag_history_erasures IS
    'Erasures of users from crewsnow_ops.flag_history by crewsnow_ops.erase_user_from_flags. They '
    'name no erased user. Append-only, for the owner too.';
COMMENT ON COLUMN crewsnow_ops.flag_history_erasures.id IS 'Id of the erasure.';
COMMENT ON COLUMN crewsnow_ops.flag_history_erasures.erased_at IS 'Clock time of the erasure.';
COMMENT ON COLUMN crewsnow_ops.flag_history_erasures.session_user_name IS
    'Role that logged in (session_user).';
COMMENT ON COLUMN crewsnow_ops.flag_history_erasures.current_user_name IS
    'Role that erased (current_user).';
COMMENT ON COLUMN crewsnow_ops.flag_history_erasures.reason IS
    'Reason, such as the number of the request; it must not name the user.';
COMMENT ON COLUMN crewsnow_ops.flag_history_erasures.history_rows IS
    'Number of history rows from which the user was blanked.';
COMMENT ON CONSTRAINT flag_history_erasures_pkey ON crewsnow_ops.flag_history_erasures IS
    'One row per erasure.';

-- Trigger functions. They run in UTC, so that history rows compare equal whatever the time zone of
-- the session.
CREATE FUNCTION crewsnow_ops.feature_flags_before_write() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'feature_flags_before_write_entry';
COMMENT ON FUNCTION crewsnow_ops.feature_flags_before_write() IS
    'Trigger: fills in defaults, sets updated_at, and lets a row from a dump replace an unchanged '
    'launch flag.';
CREATE FUNCTION crewsnow_ops.feature_flags_after_write() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC'
    AS 'MODULE_PATHNAME', 'feature_flags_after_write_entry';
COMMENT ON FUNCTION crewsnow_ops.feature_flags_after_write() IS
    'Trigger: invalidates the flag cache of every session and writes the flag history.';
-- No SET clause: the limit must outlast the call.
CREATE FUNCTION crewsnow_ops.feature_flags_begin_statement() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'feature_flags_begin_statement_entry';
COMMENT ON FUNCTION crewsnow_ops.feature_flags_begin_statement() IS
    'Trigger: limits the waits of the statement for locks to 2 seconds. Error 55P03 names the '
    'session that holds the lock.';
CREATE FUNCTION crewsnow_ops.feature_flags_end_statement() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'feature_flags_end_statement_entry';
COMMENT ON FUNCTION crewsnow_ops.feature_flags_end_statement() IS
    'Trigger: ends the limit of feature_flags_begin_statement.';
CREATE FUNCTION crewsnow_ops.feature_flags_before_truncate() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC'
    AS 'MODULE_PATHNAME', 'feature_flags_before_truncate_entry';
COMMENT ON FUNCTION crewsnow_ops.feature_flags_before_truncate() IS
    'Trigger: as feature_flags_after_write, for all flags.';
CREATE FUNCTION crewsnow_ops.flag_history_is_append_only() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'flag_history_is_append_only_entry';
COMMENT ON FUNCTION crewsnow_ops.flag_history_is_append_only() IS
    'Trigger: refuses to change or remove history rows. Error 42501.';
CREATE FUNCTION crewsnow_ops.flag_history_after_restore() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC'
    AS 'MODULE_PATHNAME', 'flag_history_after_restore_entry';
COMMENT ON FUNCTION crewsnow_ops.flag_history_after_restore() IS
    'Trigger: a removal from a dump removes the unchanged launch flag again.';
REVOKE ALL ON FUNCTION crewsnow_ops.feature_flags_before_write(),
    crewsnow_ops.feature_flags_after_write(),
    crewsnow_ops.feature_flags_begin_statement(), crewsnow_ops.feature_flags_end_statement(),
    crewsnow_ops.feature_flags_before_truncate(), crewsnow_ops.flag_history_is_append_only(),
    crewsnow_ops.flag_history_after_restore() FROM PUBLIC;

-- Not ALWAYS: a row from a publisher must arrive unchanged.
CREATE TRIGGER feature_flags_before_write BEFORE INSERT OR UPDATE ON @extschema@.feature_flags
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.feature_flags_before_write();
COMMENT ON TRIGGER feature_flags_before_write ON @extschema@.feature_flags IS
    'Fills in defaults and updated_at; handles rows from a dump.';
-- FOR EACH ROW, because logical replication fires no statement triggers. ALWAYS, because it fires
-- no other triggers.
CREATE TRIGGER feature_flags_after_write AFTER INSERT OR UPDATE
    OR DELETE ON @extschema@.feature_flags
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.feature_flags_after_write();
COMMENT ON TRIGGER feature_flags_after_write ON @extschema@.feature_flags IS
    'Invalidates caches and writes the history, for replicated changes too.';
-- Not ALWAYS: the apply worker of a subscription may wait.
CREATE TRIGGER feature_flags_begin_statement BEFORE INSERT OR UPDATE
    OR DELETE ON @extschema@.feature_flags
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.feature_flags_begin_statement();
COMMENT ON TRIGGER feature_flags_begin_statement ON @extschema@.feature_flags IS
    'Limits the waits of the statement for locks to 2 seconds.';
CREATE TRIGGER feature_flags_end_statement AFTER INSERT OR UPDATE
    OR DELETE ON @extschema@.feature_flags
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.feature_flags_end_statement();
COMMENT ON TRIGGER feature_flags_end_statement ON @extschema@.feature_flags IS
    'Ends that limit.';
CREATE TRIGGER feature_flags_before_truncate BEFORE TRUNCATE ON @extschema@.feature_flags
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.feature_flags_before_truncate();
COMMENT ON TRIGGER feature_flags_before_truncate ON @extschema@.feature_flags IS
    'Invalidates caches and writes the history, for replicated changes too.';
ALTER TABLE @extschema@.feature_flags
    ENABLE ALWAYS TRIGGER feature_flags_after_write,
    ENABLE ALWAYS TRIGGER feature_flags_before_truncate;

CREATE TRIGGER flag_history_is_append_only BEFORE UPDATE OR DELETE
    OR TRUNCATE ON crewsnow_ops.flag_history
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.flag_history_is_append_only();
COMMENT ON TRIGGER flag_history_is_append_only ON crewsnow_ops.flag_history IS
    'Keeps the history append-only, for the owner too.';
ALTER TABLE crewsnow_ops.flag_history ENABLE ALWAYS TRIGGER flag_history_is_append_only;
CREATE TRIGGER flag_history_is_append_only BEFORE UPDATE OR DELETE
    OR TRUNCATE ON crewsnow_ops.flag_history_erasures
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.flag_history_is_append_only();
COMMENT ON TRIGGER flag_history_is_append_only ON crewsnow_ops.flag_history_erasures IS
    'Keeps the erasures append-only, for the owner too.';
ALTER TABLE crewsnow_ops.flag_history_erasures ENABLE ALWAYS TRIGGER flag_history_is_append_only;
CREATE TRIGGER flag_history_after_restore AFTER INSERT ON crewsnow_ops.flag_history
    FOR EACH ROW WHEN (NEW.after IS NULL)
    EXECUTE FUNCTION crewsnow_ops.flag_history_after_restore();
COMMENT ON TRIGGER flag_history_after_restore ON crewsnow_ops.flag_history IS
    'Keeps a deleted launch flag deleted in a restored database.';

-- Tables whose rows pg_dump keeps. CREATE EXTENSION makes launch_flags and access_privileges again.
SELECT pg_catalog.pg_extension_config_dump('@extschema@.feature_flags', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.user_context', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.flag_history', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.flag_history_erasures', '');

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', '@extschema@.feature_flags'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.flag_history'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.flag_history_erasures'),
    ('operator', 'INSERT, UPDATE, DELETE', 'TABLE', '@extschema@.feature_flags'),
    ('operator', 'SELECT, INSERT, UPDATE, DELETE', 'TABLE', 'crewsnow_ops.user_context');
