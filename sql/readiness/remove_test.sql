DELETE FROM crewsnow_ops.e2e_tests AS t WHERE t.name = $1 RETURNING t.name
