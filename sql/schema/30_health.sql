-- Not in dumps: the counters of one server do not compare with those of another.
CREATE TABLE crewsnow_ops.health_samples (
    sampled_at timestamptz NOT NULL,
    counters jsonb NOT NULL,
    CONSTRAINT health_samples_pkey PRIMARY KEY (sampled_at)
) USING heap;
COMMENT ON TABLE crewsnow_ops.health_samples IS
    'Cumulative counters of the server, one row per call of sample_health in the last hour. '
    'performance_health_check computes rates from them.';
COMMENT ON COLUMN crewsnow_ops.health_samples.sampled_at IS
    'Time of the sample (clock time, not transaction start).';
COMMENT ON COLUMN crewsnow_ops.health_samples.counters IS
    'Cumulative counters by part of the server. counting_since of each part is the time when its '
    'counting began, in seconds since 1970.';
COMMENT ON CONSTRAINT health_samples_pkey ON crewsnow_ops.health_samples IS
    'One row per point in time.';

CREATE TABLE crewsnow_ops.statement_samples (
    sampled_at timestamptz NOT NULL,
    queryids bigint[] NOT NULL,
    dbids oid[] NOT NULL,
    calls bigint[] NOT NULL,
    exec_ms double precision[] NOT NULL,
    CONSTRAINT statement_samples_pkey PRIMARY KEY (sampled_at)
) USING heap;
COMMENT ON TABLE crewsnow_ops.statement_samples IS
    'pg_stat_statements as sample_health found it: one row every five minutes of the last two '
    'hours. The arrays have equal length: one element per statement and database.';
COMMENT ON COLUMN crewsnow_ops.statement_samples.sampled_at IS
    'Time of the sample (clock time, not transaction start).';
COMMENT ON COLUMN crewsnow_ops.statement_samples.queryids IS
    'queryid of each statement, as in pg_stat_statements.';
COMMENT ON COLUMN crewsnow_ops.statement_samples.dbids IS 'OID of the database of each statement.';
COMMENT ON COLUMN crewsnow_ops.statement_samples.calls IS
    'Cumulative number of calls of each statement.';
COMMENT ON COLUMN crewsnow_ops.statement_samples.exec_ms IS
    'Cumulative execution time of each statement, in milliseconds.';
COMMENT ON CONSTRAINT statement_samples_pkey ON crewsnow_ops.statement_samples IS
    'One row per point in time.';

-- Not in dumps: rows are keyed by OID, and a restore refreshes each view, which records it anew.
CREATE TABLE crewsnow_ops.matview_refreshes (
    relid oid NOT NULL,
    refreshed_at timestamptz NOT NULL,
    intervals interval[] NOT NULL DEFAULT '{}',
    CONSTRAINT matview_refreshes_pkey PRIMARY KEY (relid)
) USING heap;
COMMENT ON TABLE crewsnow_ops.matview_refreshes IS
    'Last CREATE or REFRESH of each materialized view. A view filled only before CREATE EXTENSION '
    'has no row.';
COMMENT ON COLUMN crewsnow_ops.matview_refreshes.relid IS
    'OID of the materialized view in pg_class.';
COMMENT ON COLUMN crewsnow_ops.matview_refreshes.refreshed_at IS
    'Time when its CREATE or REFRESH ended (clock time, not transaction start).';
COMMENT ON COLUMN crewsnow_ops.matview_refreshes.intervals IS
    'Time between its last refreshes, the latest first, at most five. Their median is the usual '
    'interval of the view.';
COMMENT ON CONSTRAINT matview_refreshes_pkey ON crewsnow_ops.matview_refreshes IS
    'One row per materialized view: its last refresh.';

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
    action text NOT NULL DEFAULT 'terminate',
    outcome text NOT NULL DEFAULT 'unknown',
    CONSTRAINT session_actions_action_check CHECK (
        action OPERATOR(pg_catalog.=) ANY (ARRAY['cancel', 'terminate'])
    ),
    CONSTRAINT session_actions_outcome_check CHECK (
        outcome OPERATOR(pg_catalog.=) ANY (ARRAY['ended', 'told', 'gone', 'unknown'])
    ),
    CONSTRAINT session_actions_pkey PRIMARY KEY (acted_at, pid)
) USING heap;
COMMENT ON TABLE crewsnow_ops.session_actions IS
    'Sessions that cancel_session, terminate_session and disconnect_sessions acted on, one row per '
    'session and call.';
COMMENT ON COLUMN crewsnow_ops.session_actions.acted_at IS
    'Time of the action (clock time, not transaction start).';
COMMENT ON COLUMN crewsnow_ops.session_actions.asked_by IS
    'Login role of the caller (session_user).';
COMMENT ON COLUMN crewsnow_ops.session_actions.pid IS 'Process id of the session.';
COMMENT ON COLUMN crewsnow_ops.session_actions.backend_start IS
    'Time when the session began. With pid it identifies the session.';
COMMENT ON COLUMN crewsnow_ops.session_actions.role_name IS 'Role of the session.';
COMMENT ON COLUMN crewsnow_ops.session_actions.application_name IS
    'application_name of the session.';
COMMENT ON COLUMN crewsnow_ops.session_actions.database IS 'Database of the session.';
COMMENT ON COLUMN crewsnow_ops.session_actions.state IS
    'State of the session just before the action, as in pg_stat_activity.';
COMMENT ON COLUMN crewsnow_ops.session_actions.was_there IS
    'Whether the session still existed when it was told to end; false if it ended by itself just '
    'before.';
COMMENT ON COLUMN crewsnow_ops.session_actions.action IS
    'cancel: its statement was cancelled. terminate: the session was told to end.';
COMMENT ON COLUMN crewsnow_ops.session_actions.outcome IS
    'ended: the session has ended. told: it was told, and was still there when the call returned. '
    'gone: it had ended before. unknown: the call was cut short.';
COMMENT ON CONSTRAINT session_actions_action_check ON crewsnow_ops.session_actions IS
    'The known actions.';
COMMENT ON CONSTRAINT session_actions_outcome_check ON crewsnow_ops.session_actions IS
    'The known outcomes.';
COMMENT ON CONSTRAINT session_actions_pkey ON crewsnow_ops.session_actions IS
    'One row per session and point in time.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.session_actions', '');

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.health_samples'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.statement_samples'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.matview_refreshes'),
    ('operator', 'SELECT', 'TABLE', 'crewsnow_ops.session_actions');
