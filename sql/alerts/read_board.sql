-- The alerts that are not ok, or were not ok lately; $1 is the time of the tick
SELECT s.rule, s.subject, s.alert_id, s.state, s.severity, s.data_state, s.value, s.samples,
    s.message, s.since, s.fired_at, s.is_flapping, s.is_simulated, s.timers,
    EXISTS (
        SELECT FROM crewsnow_ops.alert_acknowledgements AS a
        WHERE a.alert_id = s.alert_id AND a.ends_at > $1
    ), s.announced_in
FROM crewsnow_ops.alert_states AS s
