-- $1 is an array of the evaluations of this tick
INSERT INTO crewsnow_ops.alert_evaluations AS e
    (rule, data_state, evaluated_at, took_ms, subjects, evaluations, failures_in_a_row,
        failed_since, last_error, sessions_ended)
SELECT r.rule, r.data_state, r.evaluated_at, r.took_ms, r.subjects, r.evaluations,
    r.failures_in_a_row, r.failed_since, r.last_error, r.sessions_ended
FROM jsonb_to_recordset($1) AS r (rule text, data_state text, evaluated_at timestamptz,
    took_ms double precision, subjects integer, evaluations bigint, failures_in_a_row integer,
    failed_since timestamptz, last_error text, sessions_ended integer)
ON CONFLICT (rule) DO UPDATE
SET data_state = excluded.data_state, evaluated_at = excluded.evaluated_at,
    took_ms = excluded.took_ms, subjects = excluded.subjects,
    evaluations = excluded.evaluations, failures_in_a_row = excluded.failures_in_a_row,
    failed_since = excluded.failed_since, last_error = excluded.last_error,
    sessions_ended = excluded.sessions_ended
