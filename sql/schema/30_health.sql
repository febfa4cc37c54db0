-- Earlier values of the server's counters. Not in dumps: another server's counters mean nothing.
CREATE TABLE crewsnow_ops.health_samples (
    sampled_at timestamptz NOT NULL,
    counters jsonb NOT NULL,
    CONSTRAINT health_samples_pkey PRIMARY KEY (sampled_at)
) USING heap;
COMMENT ON TABLE crewsnow_ops.health_samples IS 'The server''s counters as sample_health found them in the last hour, so that reports speak of the last minutes.';
COMMENT ON COLUMN crewsnow_ops.health_samples.sampled_at IS 'When.';
COMMENT ON COLUMN crewsnow_ops.health_samples.counters IS 'Cumulative counters by part, each with counting_since, the time in seconds since 1970 when it began at 0.';
COMMENT ON CONSTRAINT health_samples_pkey ON crewsnow_ops.health_samples IS 'One sample at a time.';

CREATE TABLE crewsnow_ops.statement_samples (
    sampled_at timestamptz NOT NULL,
    queryids bigint[] NOT NULL,
    dbids oid[] NOT NULL,
    calls bigint[] NOT NULL,
    exec_ms double precision[] NOT NULL,
    CONSTRAINT statement_samples_pkey PRIMARY KEY (sampled_at)
) USING heap;
COMMENT ON TABLE crewsnow_ops.statement_samples IS 'pg_stat_statements as sample_health found it, every five minutes of the last two hours: a row a sample, an element a statement and database.';
COMMENT ON COLUMN crewsnow_ops.statement_samples.sampled_at IS 'When.';
COMMENT ON COLUMN crewsnow_ops.statement_samples.queryids IS 'The statements.';
COMMENT ON COLUMN crewsnow_ops.statement_samples.dbids IS 'Their databases.';
COMMENT ON COLUMN crewsnow_ops.statement_samples.calls IS 'How often each was called so far.';
COMMENT ON COLUMN crewsnow_ops.statement_samples.exec_ms IS 'How long each took so far, in milliseconds.';
COMMENT ON CONSTRAINT statement_samples_pkey ON crewsnow_ops.statement_samples IS 'One sample at a time.';

-- By oid, hence not in dumps either: what is not known is said not to be known.
CREATE TABLE crewsnow_ops.matview_refreshes (
    relid oid NOT NULL,
    refreshed_at timestamptz NOT NULL,
    CONSTRAINT matview_refreshes_pkey PRIMARY KEY (relid)
) USING heap;
COMMENT ON TABLE crewsnow_ops.matview_refreshes IS 'When materialized views were filled last, as far as that was after CREATE EXTENSION.';
COMMENT ON COLUMN crewsnow_ops.matview_refreshes.relid IS 'The materialized view.';
COMMENT ON COLUMN crewsnow_ops.matview_refreshes.refreshed_at IS 'When its CREATE or REFRESH ended.';
COMMENT ON CONSTRAINT matview_refreshes_pkey ON crewsnow_ops.matview_refreshes IS 'One row a view.';

CREATE TABLE crewsnow_ops.session_actions (
    acted_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    asked_by text NOT NULL,
    pid integer NOT NULL,
    backend_start timestamptz NOT NULL,
    role_name text,
    application_name text,
    database text,
    state text,
    was_there boolean NOT NULL,
    CONSTRAINT session_actions_pkey PRIMARY KEY (acted_at, pid)
) USING heap;
COMMENT ON TABLE crewsnow_ops.session_actions IS 'Sessions that were ended by terminate_session and disconnect_sessions.';
COMMENT ON COLUMN crewsnow_ops.session_actions.acted_at IS 'When.';
COMMENT ON COLUMN crewsnow_ops.session_actions.asked_by IS 'Who had logged in and asked for it.';
COMMENT ON COLUMN crewsnow_ops.session_actions.pid IS 'The session''s process.';
COMMENT ON COLUMN crewsnow_ops.session_actions.backend_start IS 'When the session began.';
COMMENT ON COLUMN crewsnow_ops.session_actions.role_name IS 'Whose it was.';
COMMENT ON COLUMN crewsnow_ops.session_actions.application_name IS 'What it called itself.';
COMMENT ON COLUMN crewsnow_ops.session_actions.database IS 'Its database.';
COMMENT ON COLUMN crewsnow_ops.session_actions.state IS 'What it did at the time, as in pg_stat_activity.';
COMMENT ON COLUMN crewsnow_ops.session_actions.was_there IS 'Whether it was still there to be ended.';
COMMENT ON CONSTRAINT session_actions_pkey ON crewsnow_ops.session_actions IS 'One action at a time.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.session_actions', '');

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.health_samples'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.statement_samples'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.matview_refreshes'),
    ('operator', 'SELECT', 'TABLE', 'crewsnow_ops.session_actions');
