-- $1 caller, $2 action, $3 integer[] pids, $4 timestamptz[] backend_starts, $5 text[] roles,
-- $6 text[] applications, $7 text[] databases, $8 text[] states. The outcome follows.
INSERT INTO crewsnow_ops.session_actions (
    acted_at, asked_by, action, pid, backend_start, role_name, application_name, database, state,
    was_there
)
SELECT c.now, $1, $2, u.*, true
FROM (SELECT clock_timestamp() AS now OFFSET 0) AS c
CROSS JOIN unnest($3, $4, $5, $6, $7, $8) AS u
RETURNING acted_at
