-- $1 id of the person, $2 reason
SELECT crewsnow_ops.erase_user_from_flags($1, $2)
