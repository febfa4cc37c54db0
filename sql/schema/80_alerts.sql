-- Alerts: rules, the state of each alert, its history, silences and acknowledgements.
CREATE TABLE crewsnow_ops.alert_rules (
    name text NOT NULL,
    description text NOT NULL,
    query text NOT NULL,
    fires_when text NOT NULL DEFAULT 'above',
    warning double precision,
    critical double precision,
    warning_clears double precision,
    critical_clears double precision,
    fires_after interval NOT NULL DEFAULT '0',
    clears_after interval NOT NULL DEFAULT '0',
    min_samples bigint NOT NULL DEFAULT 0,
    no_data text NOT NULL DEFAULT 'keep',
    every interval NOT NULL DEFAULT '1 minute',
    time_limit interval NOT NULL DEFAULT '5 seconds',
    max_subjects integer NOT NULL DEFAULT 1000,
    alert_group text,
    level_floor integer NOT NULL DEFAULT 1,
    flags text[] NOT NULL DEFAULT '{}',
    mode text NOT NULL DEFAULT 'dry_run',
    is_enabled boolean NOT NULL DEFAULT true,
    is_built_in boolean NOT NULL DEFAULT false,
    defined_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT alert_rules_pkey PRIMARY KEY (name),
    CONSTRAINT alert_rules_name_check CHECK (
        pg_catalog.length(name) OPERATOR(pg_catalog.>) 0
        AND pg_catalog.length(name) OPERATOR(pg_catalog.<=) 100
        AND name OPERATOR(pg_catalog.!~) '[[:cntrl:]*/]'
    ),
    CONSTRAINT alert_rules_fires_when_check CHECK (
        fires_when OPERATOR(pg_catalog.=) ANY (ARRAY['above', 'below'])
    ),
    CONSTRAINT alert_rules_thresholds_check CHECK (
        (warning IS NOT NULL OR critical IS NOT NULL)
        AND (warning IS NOT NULL OR warning_clears IS NULL)
        AND (critical IS NOT NULL OR critical_clears IS NULL)
    ),
    CONSTRAINT alert_rules_finite_check CHECK (
        pg_catalog.concat_ws(' ', warning, critical, warning_clears, critical_clears)
            OPERATOR(pg_catalog.!~) '[[:alpha:]]{3}'
    ),
    CONSTRAINT alert_rules_order_check CHECK (
        CASE
            WHEN fires_when OPERATOR(pg_catalog.=) 'above'
                THEN NOT COALESCE(warning OPERATOR(pg_catalog.>) critical, false)
                AND NOT COALESCE(warning_clears OPERATOR(pg_catalog.>) warning, false)
                AND NOT COALESCE(critical_clears OPERATOR(pg_catalog.>) critical, false)
            ELSE NOT COALESCE(warning OPERATOR(pg_catalog.<) critical, false)
                AND NOT COALESCE(warning_clears OPERATOR(pg_catalog.<) warning, false)
                AND NOT COALESCE(critical_clears OPERATOR(pg_catalog.<) critical, false)
        END
    ),
    CONSTRAINT alert_rules_durations_check CHECK (
        fires_after OPERATOR(pg_catalog.>=) '0'::interval
        AND fires_after OPERATOR(pg_catalog.<=) '7 days'::interval
        AND clears_after OPERATOR(pg_catalog.>=) '0'::interval
        AND clears_after OPERATOR(pg_catalog.<=) '7 days'::interval
    ),
    CONSTRAINT alert_rules_min_samples_check CHECK (min_samples OPERATOR(pg_catalog.>=) 0),
    CONSTRAINT alert_rules_no_data_check CHECK (
        no_data OPERATOR(pg_catalog.=) ANY (ARRAY['keep', 'ok', 'alert'])
    ),
    CONSTRAINT alert_rules_every_check CHECK (
        every OPERATOR(pg_catalog.>=) '1 second'::interval
        AND every OPERATOR(pg_catalog.<=) '7 days'::interval
    ),
    CONSTRAINT alert_rules_time_limit_check CHECK (
        time_limit OPERATOR(pg_catalog.>=) '10 milliseconds'::interval
        AND time_limit OPERATOR(pg_catalog.<=) '1 minute'::interval
    ),
    CONSTRAINT alert_rules_max_subjects_check CHECK (
        max_subjects OPERATOR(pg_catalog.>=) 1 AND max_subjects OPERATOR(pg_catalog.<=) 10000
    ),
    CONSTRAINT alert_rules_alert_group_check CHECK (
        pg_catalog.length(alert_group) OPERATOR(pg_catalog.>) 0
        AND pg_catalog.length(alert_group) OPERATOR(pg_catalog.<=) 100
        AND alert_group OPERATOR(pg_catalog.!~) '[[:cntrl:]*/]'
    ),
    CONSTRAINT alert_rules_level_floor_check CHECK (
        level_floor OPERATOR(pg_catalog.>=) 1 AND level_floor OPERATOR(pg_catalog.<=) 3
    ),
    CONSTRAINT alert_rules_flags_check CHECK (
        pg_catalog.array_position(flags, NULL) IS NULL
    ),
    CONSTRAINT alert_rules_mode_check CHECK (
        mode OPERATOR(pg_catalog.=) ANY (ARRAY['off', 'dry_run', 'approve', 'auto'])
    )
) USING heap;
COMMENT ON TABLE crewsnow_ops.alert_rules IS
    'Alert rules: each is a query that crewsnow_ops.tick() runs, and the thresholds of its values. '
    'The query runs read-only, with the privileges of defined_by. Built-in rules can be changed '
    'and disabled, not removed; their query is fixed.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.name IS
    'Name of the rule, as silences and functions take it.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.description IS 'The condition, in one sentence.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.query IS
    'Query with the columns subject (text), value (number), message (text) and, if min_samples is '
    'set, samples (integer). One row for each subject. Names outside pg_catalog are qualified. A '
    'value that is NULL or NaN is no data. A query that calls crewsnow_ops.rule_time() instead of '
    'now() can be replayed.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.fires_when IS
    'above: values greater than a threshold fire; below: values less than it.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.warning IS
    'Threshold of severity warning, in the unit of value; NULL for none.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.critical IS
    'Threshold of severity critical, in the unit of value; NULL for none.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.warning_clears IS
    'A warning clears only at this value or beyond it. NULL for the threshold itself.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.critical_clears IS
    'Severity critical clears only at this value or beyond it. NULL for the threshold itself.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.fires_after IS
    'How long a value must be over the threshold before the alert fires.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.clears_after IS
    'How long a value must be clear before the alert is resolved.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.min_samples IS
    'A value of fewer samples is no data. 0 for no minimum.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.no_data IS
    'Meaning of no data, and of a subject without a row: keep leaves the state as it is, ok is a '
    'clear value, alert is a value over the lowest threshold, which neither ends nor renews a '
    'higher severity.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.every IS 'Time between two evaluations.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.time_limit IS
    'How long the query may run. A slower query is an error of the rule.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.max_subjects IS
    'Rows that the query may return. More are an error of the rule.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.alert_group IS
    'Alerts of a group share their notices. NULL for a group of the name of the rule.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.level_floor IS
    'Lowest escalation level of its alerts, 1 to 3.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.flags IS
    'Keys of the feature flags that an alert of this rule may act on.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.mode IS
    'Whether an alert acts on flags: off, dry_run (only says so), approve (after approval), auto.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.is_enabled IS 'Whether tick() evaluates it.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.is_built_in IS
    'True for rules that the extension ships.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.defined_by IS
    'Role as which the query runs: the role that wrote the query. A role that it is a member of '
    'can be given. For a superuser the query runs as the owner of the tables that it reads.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.created_at IS 'Time of the INSERT.';
COMMENT ON COLUMN crewsnow_ops.alert_rules.updated_at IS 'Time of the last change.';
COMMENT ON CONSTRAINT alert_rules_pkey ON crewsnow_ops.alert_rules IS 'One row per name.';
COMMENT ON CONSTRAINT alert_rules_name_check ON crewsnow_ops.alert_rules IS
    'A name has 1 to 100 printable characters without * and /.';
COMMENT ON CONSTRAINT alert_rules_fires_when_check ON crewsnow_ops.alert_rules IS
    'fires_when is above or below.';
COMMENT ON CONSTRAINT alert_rules_thresholds_check ON crewsnow_ops.alert_rules IS
    'A rule has a threshold, and clears only at a threshold that it has.';
COMMENT ON CONSTRAINT alert_rules_finite_check ON crewsnow_ops.alert_rules IS
    'Thresholds are finite numbers.';
COMMENT ON CONSTRAINT alert_rules_order_check ON crewsnow_ops.alert_rules IS
    'critical is beyond warning, and values at which an alert clears are not beyond its threshold.';
COMMENT ON CONSTRAINT alert_rules_durations_check ON crewsnow_ops.alert_rules IS
    'fires_after and clears_after are 0 to 7 days.';
COMMENT ON CONSTRAINT alert_rules_min_samples_check ON crewsnow_ops.alert_rules IS
    'min_samples is not negative.';
COMMENT ON CONSTRAINT alert_rules_no_data_check ON crewsnow_ops.alert_rules IS
    'no_data is keep, ok or alert.';
COMMENT ON CONSTRAINT alert_rules_every_check ON crewsnow_ops.alert_rules IS
    'A rule is evaluated every second to every 7 days.';
COMMENT ON CONSTRAINT alert_rules_time_limit_check ON crewsnow_ops.alert_rules IS
    'A query may run for 10 ms to 1 minute.';
COMMENT ON CONSTRAINT alert_rules_max_subjects_check ON crewsnow_ops.alert_rules IS
    'A rule has at most 1 to 10000 subjects.';
COMMENT ON CONSTRAINT alert_rules_alert_group_check ON crewsnow_ops.alert_rules IS
    'A group has 1 to 100 printable characters without * and /.';
COMMENT ON CONSTRAINT alert_rules_level_floor_check ON crewsnow_ops.alert_rules IS
    'A level is 1 to 3.';
COMMENT ON CONSTRAINT alert_rules_flags_check ON crewsnow_ops.alert_rules IS
    'No NULL among the flags.';
COMMENT ON CONSTRAINT alert_rules_mode_check ON crewsnow_ops.alert_rules IS
    'mode is off, dry_run, approve or auto.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.alert_rules', '');

CREATE TABLE crewsnow_ops.alert_evaluations (
    rule text NOT NULL,
    data_state text NOT NULL DEFAULT 'ok',
    evaluated_at timestamptz NOT NULL,
    took_ms double precision NOT NULL DEFAULT 0,
    subjects integer NOT NULL DEFAULT 0,
    evaluations bigint NOT NULL DEFAULT 0,
    failures_in_a_row integer NOT NULL DEFAULT 0,
    failed_since timestamptz,
    last_error text,
    sessions_ended integer NOT NULL DEFAULT 0,
    CONSTRAINT alert_evaluations_pkey PRIMARY KEY (rule),
    CONSTRAINT alert_evaluations_data_state_check CHECK (
        data_state OPERATOR(pg_catalog.=) ANY (ARRAY['ok', 'no_data', 'error'])
    )
) USING heap WITH (fillfactor = 50);
COMMENT ON TABLE crewsnow_ops.alert_evaluations IS
    'The latest evaluation of each rule. tick() writes it.';
COMMENT ON COLUMN crewsnow_ops.alert_evaluations.rule IS 'The rule.';
COMMENT ON COLUMN crewsnow_ops.alert_evaluations.data_state IS
    'ok; no_data: the query returned no usable value; error: the query failed.';
COMMENT ON COLUMN crewsnow_ops.alert_evaluations.evaluated_at IS
    'Time of the latest evaluation (clock time).';
COMMENT ON COLUMN crewsnow_ops.alert_evaluations.took_ms IS 'Duration of its query, in ms.';
COMMENT ON COLUMN crewsnow_ops.alert_evaluations.subjects IS 'Rows that the query returned.';
COMMENT ON COLUMN crewsnow_ops.alert_evaluations.evaluations IS 'Evaluations so far.';
COMMENT ON COLUMN crewsnow_ops.alert_evaluations.failures_in_a_row IS
    'Failed evaluations since the last that worked.';
COMMENT ON COLUMN crewsnow_ops.alert_evaluations.failed_since IS
    'Time of the first of these; NULL without one.';
COMMENT ON COLUMN crewsnow_ops.alert_evaluations.last_error IS
    'SQLSTATE of the latest failure, and its message unless it may hold data; NULL if the latest '
    'evaluation worked.';
COMMENT ON COLUMN crewsnow_ops.alert_evaluations.sessions_ended IS
    'Sessions in a row that ended during its query. After 3, tick() skips the rule until the rule '
    'is changed.';
COMMENT ON CONSTRAINT alert_evaluations_pkey ON crewsnow_ops.alert_evaluations IS
    'One row per rule.';
COMMENT ON CONSTRAINT alert_evaluations_data_state_check ON crewsnow_ops.alert_evaluations IS
    'data_state is ok, no_data or error.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.alert_evaluations', '');

CREATE SEQUENCE crewsnow_ops.alert_ids;
COMMENT ON SEQUENCE crewsnow_ops.alert_ids IS 'Numbers of alerts and of groups of alerts.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.alert_ids', '');

CREATE TABLE crewsnow_ops.alert_states (
    rule text NOT NULL,
    subject text NOT NULL,
    alert_id bigint,
    state text NOT NULL,
    severity text,
    data_state text NOT NULL,
    value double precision,
    samples bigint,
    message text,
    since timestamptz NOT NULL,
    fired_at timestamptz,
    evaluated_at timestamptz NOT NULL,
    is_flapping boolean NOT NULL DEFAULT false,
    is_simulated boolean NOT NULL DEFAULT false,
    timers jsonb NOT NULL,
    announced_in bigint,
    CONSTRAINT alert_states_pkey PRIMARY KEY (rule, subject),
    CONSTRAINT alert_states_state_check CHECK (
        state OPERATOR(pg_catalog.=) ANY (ARRAY['ok', 'pending', 'firing', 'recovering'])
    ),
    CONSTRAINT alert_states_severity_check CHECK (
        severity OPERATOR(pg_catalog.=) ANY (ARRAY['warning', 'critical'])
    ),
    CONSTRAINT alert_states_data_state_check CHECK (
        data_state OPERATOR(pg_catalog.=) ANY (ARRAY['ok', 'no_data'])
    )
) USING heap WITH (fillfactor = 50);
COMMENT ON TABLE crewsnow_ops.alert_states IS
    'The state of each alert that is not ok, or was not ok an hour ago. tick() writes it. The view '
    'crewsnow_ops.alerts shows it.';
COMMENT ON COLUMN crewsnow_ops.alert_states.rule IS 'The rule.';
COMMENT ON COLUMN crewsnow_ops.alert_states.subject IS
    'The subject in the result of the query of the rule; empty for the rule itself.';
COMMENT ON COLUMN crewsnow_ops.alert_states.alert_id IS
    'Number of the alert from pending to resolved; NULL while the state is ok.';
COMMENT ON COLUMN crewsnow_ops.alert_states.state IS 'ok, pending, firing or recovering.';
COMMENT ON COLUMN crewsnow_ops.alert_states.severity IS
    'warning or critical; NULL while the state is ok.';
COMMENT ON COLUMN crewsnow_ops.alert_states.data_state IS
    'ok, or no_data if the latest evaluation had no value for it.';
COMMENT ON COLUMN crewsnow_ops.alert_states.value IS 'The latest value.';
COMMENT ON COLUMN crewsnow_ops.alert_states.samples IS
    'Samples of that value; NULL if the rule has no minimum.';
COMMENT ON COLUMN crewsnow_ops.alert_states.message IS 'Message of the query with that value.';
COMMENT ON COLUMN crewsnow_ops.alert_states.since IS 'Time of the latest change of state.';
COMMENT ON COLUMN crewsnow_ops.alert_states.fired_at IS
    'Time when the alert fired; NULL if it has not. A clock that steps back moves it, so that the '
    'age of the alert stays.';
COMMENT ON COLUMN crewsnow_ops.alert_states.evaluated_at IS
    'Time of the latest evaluation (clock time).';
COMMENT ON COLUMN crewsnow_ops.alert_states.is_flapping IS
    'Whether it fired and resolved so often in the last hour that it sends no notices.';
COMMENT ON COLUMN crewsnow_ops.alert_states.is_simulated IS
    'True for an alert of simulate_alert.';
COMMENT ON COLUMN crewsnow_ops.alert_states.timers IS
    'Timers of the state machine: times in microseconds since 2000-01-01 UTC.';
COMMENT ON COLUMN crewsnow_ops.alert_states.announced_in IS
    'Number of the group whose notice named the alert last; NULL if no notice did.';
COMMENT ON CONSTRAINT alert_states_pkey ON crewsnow_ops.alert_states IS
    'One row per rule and subject.';
COMMENT ON CONSTRAINT alert_states_state_check ON crewsnow_ops.alert_states IS
    'state is ok, pending, firing or recovering.';
COMMENT ON CONSTRAINT alert_states_severity_check ON crewsnow_ops.alert_states IS
    'severity is warning or critical.';
COMMENT ON CONSTRAINT alert_states_data_state_check ON crewsnow_ops.alert_states IS
    'data_state is ok or no_data.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.alert_states', '');

CREATE TABLE crewsnow_ops.alert_groups (
    alert_group text NOT NULL,
    group_id bigint NOT NULL,
    opened_at timestamptz NOT NULL,
    severity text NOT NULL,
    members integer NOT NULL,
    last_notice_at timestamptz,
    last_notice_severity text,
    last_notice_members integer,
    CONSTRAINT alert_groups_pkey PRIMARY KEY (alert_group),
    CONSTRAINT alert_groups_severity_check CHECK (
        severity OPERATOR(pg_catalog.=) ANY (ARRAY['warning', 'critical'])
    )
) USING heap WITH (fillfactor = 50);
COMMENT ON TABLE crewsnow_ops.alert_groups IS
    'Groups with alerts that fire or recover now, and their latest notice. tick() writes it.';
COMMENT ON COLUMN crewsnow_ops.alert_groups.alert_group IS 'The group.';
COMMENT ON COLUMN crewsnow_ops.alert_groups.group_id IS
    'Number of the group from its first alert that fires to its last.';
COMMENT ON COLUMN crewsnow_ops.alert_groups.opened_at IS 'Time when its first alert fired.';
COMMENT ON COLUMN crewsnow_ops.alert_groups.severity IS 'Worst severity of its alerts now.';
COMMENT ON COLUMN crewsnow_ops.alert_groups.members IS 'Alerts that fire or recover now.';
COMMENT ON COLUMN crewsnow_ops.alert_groups.last_notice_at IS
    'Time of the latest notice; NULL before the first.';
COMMENT ON COLUMN crewsnow_ops.alert_groups.last_notice_severity IS
    'Severity in that notice.';
COMMENT ON COLUMN crewsnow_ops.alert_groups.last_notice_members IS
    'Number of alerts in that notice.';
COMMENT ON CONSTRAINT alert_groups_pkey ON crewsnow_ops.alert_groups IS 'One row per group.';
COMMENT ON CONSTRAINT alert_groups_severity_check ON crewsnow_ops.alert_groups IS
    'severity is warning or critical.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.alert_groups', '');

CREATE TABLE crewsnow_ops.alert_events (
    event_id bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL,
    at timestamptz NOT NULL,
    event text NOT NULL,
    alert_group text,
    group_id bigint,
    rule text,
    subject text,
    alert_id bigint,
    severity text,
    value double precision,
    message text,
    actor text NOT NULL,
    suppressed_by text,
    details jsonb,
    CONSTRAINT alert_events_pkey PRIMARY KEY (event_id),
    CONSTRAINT alert_events_event_check CHECK (
        event OPERATOR(pg_catalog.=) ANY (ARRAY['pending', 'firing', 'escalated', 'eased',
            'recovering', 'resolved', 'expired', 'withdrawn', 'flapping', 'steady', 'no_data',
            'data', 'error', 'error_cleared', 'acknowledged', 'acknowledgement_expired', 'silenced',
            'silence_ended', 'notice', 'group_opened', 'group_closed', 'simulated', 'adopted',
            'ticks_missed', 'clock_stepped'])
    )
) USING heap;
COMMENT ON TABLE crewsnow_ops.alert_events IS
    'History of the alerts: each change of state, each notice and each act of an operator. '
    'Append-only.';
COMMENT ON COLUMN crewsnow_ops.alert_events.event_id IS 'Number of the event.';
COMMENT ON COLUMN crewsnow_ops.alert_events.at IS 'Time of the event (clock time).';
COMMENT ON COLUMN crewsnow_ops.alert_events.event IS
    'pending, firing, escalated (warning to critical), eased (critical to warning), recovering, '
    'resolved; expired: ended because the subject had no row for 24 h; withdrawn: cleared '
    'before it fired; flapping and steady; no_data and data; error '
    'and error_cleared of a rule; notice: a notice of the group; the others are acts and '
    'observations of that name.';
COMMENT ON COLUMN crewsnow_ops.alert_events.alert_group IS 'The group; NULL for no group.';
COMMENT ON COLUMN crewsnow_ops.alert_events.group_id IS
    'Number of the group, from opened to closed; NULL outside of it.';
COMMENT ON COLUMN crewsnow_ops.alert_events.rule IS 'The rule; NULL for no rule.';
COMMENT ON COLUMN crewsnow_ops.alert_events.subject IS 'The subject; NULL for no alert.';
COMMENT ON COLUMN crewsnow_ops.alert_events.alert_id IS 'Number of the alert; NULL for no alert.';
COMMENT ON COLUMN crewsnow_ops.alert_events.severity IS
    'Severity after the event; NULL for events without one.';
COMMENT ON COLUMN crewsnow_ops.alert_events.value IS 'The value at that time.';
COMMENT ON COLUMN crewsnow_ops.alert_events.message IS
    'Message of the query, of the notice or of the operator.';
COMMENT ON COLUMN crewsnow_ops.alert_events.actor IS
    'Login role of the operator; tick for events of tick().';
COMMENT ON COLUMN crewsnow_ops.alert_events.suppressed_by IS
    'The silence, window or other reason for which a notice was not sent; NULL if it was.';
COMMENT ON COLUMN crewsnow_ops.alert_events.details IS
    'More of the event, such as the reason and the number of alerts of a notice.';
COMMENT ON CONSTRAINT alert_events_pkey ON crewsnow_ops.alert_events IS 'One row per event.';
COMMENT ON CONSTRAINT alert_events_event_check ON crewsnow_ops.alert_events IS
    'The known events.';
CREATE INDEX alert_events_at ON crewsnow_ops.alert_events (at);
COMMENT ON INDEX crewsnow_ops.alert_events_at IS 'The latest events.';
CREATE INDEX alert_events_alert_id ON crewsnow_ops.alert_events (alert_id);
COMMENT ON INDEX crewsnow_ops.alert_events_alert_id IS 'The events of an alert.';
CREATE INDEX alert_events_group_id ON crewsnow_ops.alert_events (group_id);
COMMENT ON INDEX crewsnow_ops.alert_events_group_id IS 'The events of a group.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.alert_events', '');
COMMENT ON SEQUENCE crewsnow_ops.alert_events_event_id_seq IS 'Numbers of alert_events.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.alert_events_event_id_seq', '');

CREATE TABLE crewsnow_ops.silences (
    silence_id bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL,
    matcher text NOT NULL,
    reason text NOT NULL,
    starts_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    ends_at timestamptz NOT NULL,
    created_by text NOT NULL DEFAULT session_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    ended_by text,
    CONSTRAINT silences_pkey PRIMARY KEY (silence_id),
    CONSTRAINT silences_matcher_check CHECK (
        pg_catalog.length(matcher) OPERATOR(pg_catalog.>) 0
        AND pg_catalog.length(matcher) OPERATOR(pg_catalog.<=) 1000
    ),
    CONSTRAINT silences_reason_check CHECK (
        pg_catalog.length(pg_catalog.btrim(reason)) OPERATOR(pg_catalog.>) 0
        AND pg_catalog.length(reason) OPERATOR(pg_catalog.<=) 1000
    ),
    CONSTRAINT silences_ends_at_check CHECK (
        pg_catalog.isfinite(ends_at) AND ends_at OPERATOR(pg_catalog.>=) starts_at
        AND ends_at OPERATOR(pg_catalog.<=)
            (starts_at OPERATOR(pg_catalog.+) '720 hours'::interval)
    )
) USING heap;
COMMENT ON TABLE crewsnow_ops.silences IS
    'Silences: alerts that send no notice and take no action for a time. Evaluation and history go '
    'on. crewsnow_ops.silence() writes them.';
COMMENT ON COLUMN crewsnow_ops.silences.silence_id IS 'Number of the silence.';
COMMENT ON COLUMN crewsnow_ops.silences.matcher IS
    'A rule or a group, or rule/subject; * stands for any characters.';
COMMENT ON COLUMN crewsnow_ops.silences.reason IS 'The reason.';
COMMENT ON COLUMN crewsnow_ops.silences.starts_at IS 'Start.';
COMMENT ON COLUMN crewsnow_ops.silences.ends_at IS 'End, at most 30 days after the start.';
COMMENT ON COLUMN crewsnow_ops.silences.created_by IS 'Login role (session_user).';
COMMENT ON COLUMN crewsnow_ops.silences.created_at IS 'Time of the call.';
COMMENT ON COLUMN crewsnow_ops.silences.ended_by IS
    'Login role that ended it early; NULL if none did.';
COMMENT ON CONSTRAINT silences_pkey ON crewsnow_ops.silences IS 'One row per silence.';
COMMENT ON CONSTRAINT silences_matcher_check ON crewsnow_ops.silences IS
    'A matcher has 1 to 1000 characters.';
COMMENT ON CONSTRAINT silences_reason_check ON crewsnow_ops.silences IS
    'A reason has 1 to 1000 characters.';
COMMENT ON CONSTRAINT silences_ends_at_check ON crewsnow_ops.silences IS
    'A silence ends, at most 30 days after its start.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.silences', '');
COMMENT ON SEQUENCE crewsnow_ops.silences_silence_id_seq IS 'Numbers of silences.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.silences_silence_id_seq', '');

-- A table of its own: an operator's open transaction must never make a tick wait for a row.
CREATE TABLE crewsnow_ops.alert_acknowledgements (
    acknowledgement_id bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL,
    alert_id bigint NOT NULL,
    acknowledged_by text NOT NULL DEFAULT session_user,
    acknowledged_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    note text,
    CONSTRAINT alert_acknowledgements_pkey PRIMARY KEY (acknowledgement_id),
    CONSTRAINT alert_acknowledgements_ends_at_check CHECK (
        pg_catalog.isfinite(ends_at) AND ends_at OPERATOR(pg_catalog.>) acknowledged_at
        AND ends_at OPERATOR(pg_catalog.<=)
            (acknowledged_at OPERATOR(pg_catalog.+) '24 hours'::interval)
    ),
    CONSTRAINT alert_acknowledgements_note_check CHECK (
        pg_catalog.length(note) OPERATOR(pg_catalog.<=) 1000
    )
) USING heap;
COMMENT ON TABLE crewsnow_ops.alert_acknowledgements IS
    'Acknowledgements: alerts on which an operator works, so that no reminder is sent. Each one '
    'ends. crewsnow_ops.acknowledge_alert() writes them. The latest of an alert counts.';
COMMENT ON COLUMN crewsnow_ops.alert_acknowledgements.acknowledgement_id IS
    'Number of the acknowledgement.';
COMMENT ON COLUMN crewsnow_ops.alert_acknowledgements.alert_id IS 'Number of the alert.';
COMMENT ON COLUMN crewsnow_ops.alert_acknowledgements.acknowledged_by IS
    'Login role (session_user).';
COMMENT ON COLUMN crewsnow_ops.alert_acknowledgements.acknowledged_at IS
    'Time of the call (clock time).';
COMMENT ON COLUMN crewsnow_ops.alert_acknowledgements.ends_at IS
    'End, at most 24 hours later. An alert that still fires then is announced again.';
COMMENT ON COLUMN crewsnow_ops.alert_acknowledgements.note IS 'Note; NULL without one.';
COMMENT ON CONSTRAINT alert_acknowledgements_pkey ON crewsnow_ops.alert_acknowledgements IS
    'One row per acknowledgement.';
COMMENT ON CONSTRAINT alert_acknowledgements_ends_at_check
    ON crewsnow_ops.alert_acknowledgements IS
    'An acknowledgement ends, at most 24 hours after its start.';
COMMENT ON CONSTRAINT alert_acknowledgements_note_check ON crewsnow_ops.alert_acknowledgements IS
    'A note has at most 1000 characters.';
CREATE INDEX alert_acknowledgements_alert_id ON crewsnow_ops.alert_acknowledgements (alert_id);
COMMENT ON INDEX crewsnow_ops.alert_acknowledgements_alert_id IS
    'The acknowledgements of an alert.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.alert_acknowledgements', '');
COMMENT ON SEQUENCE crewsnow_ops.alert_acknowledgements_acknowledgement_id_seq IS
    'Numbers of acknowledgements.';
SELECT pg_catalog.pg_extension_config_dump(
    'crewsnow_ops.alert_acknowledgements_acknowledgement_id_seq', '');

CREATE TABLE crewsnow_ops.alert_simulations (
    rule text NOT NULL,
    subject text NOT NULL,
    value double precision NOT NULL,
    message text NOT NULL,
    ends_at timestamptz NOT NULL,
    created_by text NOT NULL DEFAULT session_user,
    CONSTRAINT alert_simulations_pkey PRIMARY KEY (rule, subject)
) USING heap;
COMMENT ON TABLE crewsnow_ops.alert_simulations IS
    'Values that simulate_alert adds to the result of a rule until they end.';
COMMENT ON COLUMN crewsnow_ops.alert_simulations.rule IS 'The rule.';
COMMENT ON COLUMN crewsnow_ops.alert_simulations.subject IS 'The subject.';
COMMENT ON COLUMN crewsnow_ops.alert_simulations.value IS 'The value.';
COMMENT ON COLUMN crewsnow_ops.alert_simulations.message IS 'The message.';
COMMENT ON COLUMN crewsnow_ops.alert_simulations.ends_at IS 'End; after that the value is clear.';
COMMENT ON COLUMN crewsnow_ops.alert_simulations.created_by IS 'Login role (session_user).';
COMMENT ON CONSTRAINT alert_simulations_pkey ON crewsnow_ops.alert_simulations IS
    'One row per rule and subject.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.alert_simulations', '');

CREATE TABLE crewsnow_ops.alert_clock (
    is_only_row boolean NOT NULL DEFAULT true,
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    timeline bigint NOT NULL,
    timeline_since timestamptz,
    ticked_at timestamptz NOT NULL,
    tick_ms double precision NOT NULL DEFAULT 0,
    ticks bigint NOT NULL DEFAULT 0,
    ticked_by text NOT NULL,
    is_muted boolean NOT NULL DEFAULT false,
    CONSTRAINT alert_clock_pkey PRIMARY KEY (is_only_row),
    CONSTRAINT alert_clock_is_only_row_check CHECK (is_only_row)
) USING heap WITH (fillfactor = 50);
COMMENT ON TABLE crewsnow_ops.alert_clock IS
    'The latest tick, and the database that it ran in. Has one row after the first tick.';
COMMENT ON COLUMN crewsnow_ops.alert_clock.is_only_row IS 'Always true.';
COMMENT ON COLUMN crewsnow_ops.alert_clock.system_identifier IS
    'Identifier of the cluster that it ran in.';
COMMENT ON COLUMN crewsnow_ops.alert_clock.database_oid IS 'Oid of the database that it ran in.';
COMMENT ON COLUMN crewsnow_ops.alert_clock.timeline IS 'Timeline of the server then.';
COMMENT ON COLUMN crewsnow_ops.alert_clock.timeline_since IS
    'Time of the first tick on this timeline after another one; NULL if there was no other.';
COMMENT ON COLUMN crewsnow_ops.alert_clock.ticked_at IS 'Time of the latest tick (clock time).';
COMMENT ON COLUMN crewsnow_ops.alert_clock.tick_ms IS 'Duration of that tick, in ms.';
COMMENT ON COLUMN crewsnow_ops.alert_clock.ticks IS 'Ticks so far.';
COMMENT ON COLUMN crewsnow_ops.alert_clock.ticked_by IS
    'Login role and application name of the session of that tick.';
COMMENT ON COLUMN crewsnow_ops.alert_clock.is_muted IS
    'True in a restored copy: alerts are evaluated and send no notices until adopt_alerts().';
COMMENT ON CONSTRAINT alert_clock_pkey ON crewsnow_ops.alert_clock IS 'One row.';
COMMENT ON CONSTRAINT alert_clock_is_only_row_check ON crewsnow_ops.alert_clock IS 'One row.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.alert_clock', '');

-- Not transactional, so it survives the end of the session: see tick().
CREATE SEQUENCE crewsnow_ops.tick_progress MINVALUE 0 START 0;
COMMENT ON SEQUENCE crewsnow_ops.tick_progress IS
    'Identity of the rule whose query runs in the tick of this moment; 0 between ticks. A tick '
    'that finds another value knows the rule that ended the session before.';
