DELETE FROM crewsnow_ops.criteria AS c WHERE c.name = $1 AND c.changed_at IS NULL RETURNING 1
