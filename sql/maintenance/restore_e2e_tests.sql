-- A script of psql. The end-to-end tests of the restored database; without the extension the
-- statement fails.
\set VERBOSITY sqlstate
SET search_path = pg_catalog, pg_temp;
SELECT json_build_object('test', t.test, 'passed', t.passed, 'step', t.failed_step)
FROM crewsnow_ops.run_e2e_tests() AS t;
