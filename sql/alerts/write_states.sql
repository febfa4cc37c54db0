-- $1 is an array of the changed alerts
INSERT INTO crewsnow_ops.alert_states AS s
    (rule, subject, alert_id, state, severity, data_state, value, samples, message, since,
        fired_at, evaluated_at, is_flapping, is_simulated, timers, announced_in)
SELECT r.rule, r.subject, r.alert_id, r.state, r.severity, r.data_state, r.value, r.samples,
    r.message, r.since, r.fired_at, r.evaluated_at, r.is_flapping, r.is_simulated, r.timers,
    r.announced_in
FROM jsonb_to_recordset($1) AS r (rule text, subject text, alert_id bigint, state text,
    severity text, data_state text, value double precision, samples bigint, message text,
    since timestamptz, fired_at timestamptz, evaluated_at timestamptz, is_flapping boolean,
    is_simulated boolean, timers jsonb, announced_in bigint)
ON CONFLICT (rule, subject) DO UPDATE
SET alert_id = excluded.alert_id, state = excluded.state, severity = excluded.severity,
    data_state = excluded.data_state, value = excluded.value, samples = excluded.samples,
    message = excluded.message, since = excluded.since, fired_at = excluded.fired_at,
    evaluated_at = excluded.evaluated_at, is_flapping = excluded.is_flapping,
    is_simulated = excluded.is_simulated, timers = excluded.timers,
    announced_in = excluded.announced_in
