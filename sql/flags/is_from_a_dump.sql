-- $1 time. A row if it lies before this installation.
SELECT FROM crewsnow_ops.launch_flags AS l WHERE $1 < l.created_at LIMIT 1
