-- The flags. Read by every evaluation as a heap, whatever default_table_access_method says.
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
        rollout_percentage OPERATOR(pg_catalog.>=) 0 AND rollout_percentage OPERATOR(pg_catalog.<=) 100
    ),
    CONSTRAINT feature_flags_feature_category_check CHECK (
        feature_category OPERATOR(pg_catalog.=) ANY (ARRAY['core', 'premium', 'experimental', 'beta', 'maintenance'])
    )
) USING heap;

COMMENT ON TABLE @extschema@.feature_flags IS 'Feature flags and kill switches. Change them with update_feature_flag or plain SQL; every change is kept in crewsnow_ops.flag_history.';
COMMENT ON COLUMN @extschema@.feature_flags.id IS 'Identity of the flag for its life; its history hangs on it.';
COMMENT ON COLUMN @extschema@.feature_flags.flag_key IS 'What the code asks for: 1 to 100 letters, digits, . _ ~ or -.';
COMMENT ON COLUMN @extschema@.feature_flags.flag_name IS 'A name for people; the key unless given.';
COMMENT ON COLUMN @extschema@.feature_flags.description IS 'What the flag is for.';
COMMENT ON COLUMN @extschema@.feature_flags.is_enabled IS 'Off means off for everybody, whatever else is set.';
COMMENT ON COLUMN @extschema@.feature_flags.rollout_percentage IS 'Share of users who have the feature while it is enabled, 0 to 100 percent.';
COMMENT ON COLUMN @extschema@.feature_flags.target_user_ids IS 'Users who always have the feature while it is enabled.';
COMMENT ON COLUMN @extschema@.feature_flags.target_premium_only IS 'Only users with crewsnow_ops.user_context.is_premium.';
COMMENT ON COLUMN @extschema@.feature_flags.target_regions IS 'Only users whose crewsnow_ops.user_context.region is one of these; empty is everywhere.';
COMMENT ON COLUMN @extschema@.feature_flags.module_name IS 'The part of the application that the flag belongs to.';
COMMENT ON COLUMN @extschema@.feature_flags.feature_category IS 'core, premium, experimental, beta or maintenance: what emergency commands select by.';
COMMENT ON COLUMN @extschema@.feature_flags.created_by IS 'Who created the flag: p_updated_by where it was given, else the role.';
COMMENT ON COLUMN @extschema@.feature_flags.created_at IS 'When the flag was created.';
COMMENT ON COLUMN @extschema@.feature_flags.updated_at IS 'When the flag was last changed. It moves on every real change, whoever makes it, and on nothing else.';
COMMENT ON COLUMN @extschema@.feature_flags.last_checked_at IS 'When somebody last reviewed the flag. For teams to set; it changes no evaluation and does not count as a change.';
COMMENT ON COLUMN @extschema@.feature_flags.target_segments IS 'Only users with at least one of these in crewsnow_ops.user_context.segments; empty is everybody.';
COMMENT ON COLUMN @extschema@.feature_flags.rollout_group IS 'What a user''s bucket is computed from: the key at creation unless given, fixed for the flag''s life, so renaming moves no user. Flags of one group pick the same users.';
COMMENT ON CONSTRAINT feature_flags_pkey ON @extschema@.feature_flags IS 'One row a flag.';
COMMENT ON CONSTRAINT feature_flags_flag_key_key ON @extschema@.feature_flags IS 'A key names one flag.';
COMMENT ON CONSTRAINT feature_flags_flag_key_check ON @extschema@.feature_flags IS '1 to 100 letters, digits, . _ ~ or -: what a URL carries unescaped.';
COMMENT ON CONSTRAINT feature_flags_rollout_percentage_check ON @extschema@.feature_flags IS '0 to 100 percent.';
COMMENT ON CONSTRAINT feature_flags_feature_category_check ON @extschema@.feature_flags IS 'The five categories.';

-- The launch configuration of this installation, never changed: an untouched flag can be told from one that somebody changed.
CREATE TABLE crewsnow_ops.launch_flags (LIKE @extschema@.feature_flags INCLUDING COMMENTS, CONSTRAINT launch_flags_pkey PRIMARY KEY (id)) USING heap;
COMMENT ON TABLE crewsnow_ops.launch_flags IS 'The flags as CREATE EXTENSION made them. A restored dump takes the place of those that nobody has touched.';
COMMENT ON CONSTRAINT launch_flags_pkey ON crewsnow_ops.launch_flags IS 'One row a flag.';

-- What targeting may know about a user.
CREATE TABLE crewsnow_ops.user_context (
    user_id uuid NOT NULL,
    is_premium boolean NOT NULL DEFAULT false,
    region text,
    segments text[] NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT user_context_pkey PRIMARY KEY (user_id)
) USING heap;
COMMENT ON TABLE crewsnow_ops.user_context IS 'What flags may target users by. The application keeps it, for example by a trigger on its subscriptions; a user without a row fulfils no condition.';
COMMENT ON COLUMN crewsnow_ops.user_context.user_id IS 'The user.';
COMMENT ON COLUMN crewsnow_ops.user_context.is_premium IS 'For target_premium_only.';
COMMENT ON COLUMN crewsnow_ops.user_context.region IS 'For target_regions, compared byte by byte.';
COMMENT ON COLUMN crewsnow_ops.user_context.segments IS 'For target_segments, compared byte by byte.';
COMMENT ON COLUMN crewsnow_ops.user_context.updated_at IS 'When the row was written; for the application to keep.';
COMMENT ON CONSTRAINT user_context_pkey ON crewsnow_ops.user_context IS 'One row a user; evaluations look it up.';

-- The trail. A flag's changes are strictly ordered in time, so the two columns are the key, and no sequence has to survive a dump.
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
    CONSTRAINT flag_history_pkey PRIMARY KEY (flag_id, changed_at),
    CONSTRAINT flag_history_operation_check CHECK (
        operation OPERATOR(pg_catalog.=) ANY (ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'])
    )
) USING heap;
CREATE INDEX flag_history_changed_at_idx ON crewsnow_ops.flag_history (changed_at);
COMMENT ON TABLE crewsnow_ops.flag_history IS 'Every real change of a flag, whoever made it and however, written in the same transaction. Append-only for everybody.';
COMMENT ON COLUMN crewsnow_ops.flag_history.flag_id IS 'feature_flags.id, also of flags that are gone.';
COMMENT ON COLUMN crewsnow_ops.flag_history.changed_at IS 'Clock time of the change; strictly increasing for each flag.';
COMMENT ON COLUMN crewsnow_ops.flag_history.flag_key IS 'The flag''s key after the change, or before it was removed.';
COMMENT ON COLUMN crewsnow_ops.flag_history.operation IS 'INSERT, UPDATE, DELETE or TRUNCATE.';
COMMENT ON COLUMN crewsnow_ops.flag_history.before IS 'The whole row before the change; NULL if there was none. Times are in UTC.';
COMMENT ON COLUMN crewsnow_ops.flag_history.after IS 'The whole row after the change; NULL if it was removed. Times are in UTC.';
COMMENT ON COLUMN crewsnow_ops.flag_history.session_user_name IS 'The role that logged in.';
COMMENT ON COLUMN crewsnow_ops.flag_history.current_user_name IS 'The role that it acted as.';
COMMENT ON COLUMN crewsnow_ops.flag_history.updated_by IS 'p_updated_by of update_feature_flag: who asked for it, as the caller says.';
COMMENT ON COLUMN crewsnow_ops.flag_history.reason IS 'p_reason of restore_feature_flags, or the setting crewsnow_ops.change_reason.';
COMMENT ON COLUMN crewsnow_ops.flag_history.application_name IS 'application_name of the session.';
COMMENT ON COLUMN crewsnow_ops.flag_history.client_addr IS 'Address of the client; NULL on a Unix socket.';
COMMENT ON COLUMN crewsnow_ops.flag_history.xid IS 'The transaction. Changes of one transaction share it, in the cluster where they were made.';
COMMENT ON CONSTRAINT flag_history_pkey ON crewsnow_ops.flag_history IS 'A flag''s changes are strictly ordered.';
COMMENT ON CONSTRAINT flag_history_operation_check ON crewsnow_ops.flag_history IS 'The four ways to change a flag.';
COMMENT ON INDEX crewsnow_ops.flag_history_changed_at_idx IS 'For what happened in a period.';

-- Trigger functions. UTC, so that the rows in the trail read and compare the same in whatever time zone they were made.
CREATE FUNCTION crewsnow_ops.feature_flags_before_write() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'feature_flags_before_write_wrapper';
COMMENT ON FUNCTION crewsnow_ops.feature_flags_before_write() IS 'Trigger: fills in defaults, keeps updated_at, and lets a restored flag take the place of an untouched one.';
CREATE FUNCTION crewsnow_ops.feature_flags_after_write() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC'
    AS 'MODULE_PATHNAME', 'feature_flags_after_write_wrapper';
COMMENT ON FUNCTION crewsnow_ops.feature_flags_after_write() IS 'Trigger: tells every session''s cache and writes the trail.';
CREATE FUNCTION crewsnow_ops.feature_flags_before_truncate() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC'
    AS 'MODULE_PATHNAME', 'feature_flags_before_truncate_wrapper';
COMMENT ON FUNCTION crewsnow_ops.feature_flags_before_truncate() IS 'Trigger: as feature_flags_after_write, for all flags at once.';
CREATE FUNCTION crewsnow_ops.flag_history_is_append_only() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'flag_history_is_append_only_wrapper';
COMMENT ON FUNCTION crewsnow_ops.flag_history_is_append_only() IS 'Trigger: refuses to change or remove what the trail holds. SQLSTATE 42501.';
CREATE FUNCTION crewsnow_ops.flag_history_after_restore() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC'
    AS 'MODULE_PATHNAME', 'flag_history_after_restore_wrapper';
COMMENT ON FUNCTION crewsnow_ops.flag_history_after_restore() IS 'Trigger: a restored removal removes the untouched launch flag again.';
REVOKE ALL ON FUNCTION crewsnow_ops.feature_flags_before_write(), crewsnow_ops.feature_flags_after_write(),
    crewsnow_ops.feature_flags_before_truncate(), crewsnow_ops.flag_history_is_append_only(),
    crewsnow_ops.flag_history_after_restore() FROM PUBLIC;

-- Not ALWAYS: what a publisher sends must arrive as it is.
CREATE TRIGGER feature_flags_before_write BEFORE INSERT OR UPDATE ON @extschema@.feature_flags
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.feature_flags_before_write();
COMMENT ON TRIGGER feature_flags_before_write ON @extschema@.feature_flags IS 'Defaults, updated_at, restored flags.';
-- For each row, because logical replication fires no statement triggers; ALWAYS, because it fires no others.
CREATE TRIGGER feature_flags_after_write AFTER INSERT OR UPDATE OR DELETE ON @extschema@.feature_flags
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.feature_flags_after_write();
COMMENT ON TRIGGER feature_flags_after_write ON @extschema@.feature_flags IS 'Caches and trail. Also fires for replicated changes.';
CREATE TRIGGER feature_flags_before_truncate BEFORE TRUNCATE ON @extschema@.feature_flags
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.feature_flags_before_truncate();
COMMENT ON TRIGGER feature_flags_before_truncate ON @extschema@.feature_flags IS 'Caches and trail. Also fires for replicated changes.';
ALTER TABLE @extschema@.feature_flags
    ENABLE ALWAYS TRIGGER feature_flags_after_write,
    ENABLE ALWAYS TRIGGER feature_flags_before_truncate;

CREATE TRIGGER flag_history_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON crewsnow_ops.flag_history
    FOR EACH STATEMENT EXECUTE FUNCTION crewsnow_ops.flag_history_is_append_only();
COMMENT ON TRIGGER flag_history_is_append_only ON crewsnow_ops.flag_history IS 'Append-only for everybody, the owner included.';
ALTER TABLE crewsnow_ops.flag_history ENABLE ALWAYS TRIGGER flag_history_is_append_only;
CREATE TRIGGER flag_history_after_restore AFTER INSERT ON crewsnow_ops.flag_history
    FOR EACH ROW WHEN (NEW.after IS NULL) EXECUTE FUNCTION crewsnow_ops.flag_history_after_restore();
COMMENT ON TRIGGER flag_history_after_restore ON crewsnow_ops.flag_history IS 'A deleted launch flag stays deleted in a restored database.';

-- What pg_dump carries. launch_flags and access_privileges are CREATE EXTENSION's own and are made anew by it.
SELECT pg_catalog.pg_extension_config_dump('@extschema@.feature_flags', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.user_context', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.flag_history', '');

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', '@extschema@.feature_flags'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.flag_history'),
    ('operator', 'INSERT, UPDATE, DELETE', 'TABLE', '@extschema@.feature_flags'),
    ('operator', 'SELECT, INSERT, UPDATE, DELETE', 'TABLE', 'crewsnow_ops.user_context');
