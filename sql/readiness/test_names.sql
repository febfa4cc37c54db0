SELECT t.name FROM crewsnow_ops.e2e_tests AS t ORDER BY t.name
