-- The latest evaluation of each rule
SELECT e.rule, e.evaluated_at, e.failures_in_a_row, e.failed_since, e.sessions_ended,
    e.evaluations
FROM crewsnow_ops.alert_evaluations AS e
