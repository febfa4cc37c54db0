-- $1 id of a user
DELETE FROM crewsnow_ops.user_context AS u WHERE u.user_id = $1
