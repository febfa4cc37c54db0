-- $1 request, $2 table, $3 number of rows, $4 current user
INSERT INTO crewsnow_ops.trail_erasures (request, target, changed_rows, current_user_name)
VALUES ($1, $2, $3, $4)
