DELETE FROM crewsnow_ops.launch_plan AS p WHERE p.flag_key = $1 AND p.changed_at IS NULL RETURNING 1
