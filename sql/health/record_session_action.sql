-- $1 caller, $2 pid, $3 backend_start, $4 role, $5 application, $6 database, $7 state, $8 whether
-- the session still existed
INSERT INTO crewsnow_ops.session_actions (
    asked_by, pid, backend_start, role_name, application_name, database, state, was_there
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
