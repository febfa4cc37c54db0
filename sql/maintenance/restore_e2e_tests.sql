-- A script of psql. The end-to-end tests of the restored database. Another owner could have made a
-- schema of that name, so the function must be one of the extension.
\set VERBOSITY sqlstate
SET search_path = pg_catalog, pg_temp;
-- The database may have settings for sessions of the application.
SET default_transaction_isolation = 'read committed';
SET default_transaction_read_only = off;
SELECT EXISTS (SELECT FROM pg_depend AS d
    JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'crewsnow_ops'
    WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass
        AND d.deptype = 'e' AND d.objid = to_regprocedure('crewsnow_ops.run_e2e_tests(text)'))
    AS is_own \gset
\if :is_own
-- Without statistics, which a dump leaves out, a test may exceed its time limit.
\set needs_statistics off
SELECT EXISTS (SELECT FROM crewsnow_ops.e2e_tests)
    AND NOT EXISTS (SELECT FROM pg_statistic WHERE starelid >= 16384) AS needs_statistics \gset
\if :needs_statistics
ANALYZE;
\endif
SELECT json_build_object('test', t.test, 'passed', t.passed, 'step', t.failed_step)
FROM crewsnow_ops.run_e2e_tests(NULL) AS t;
\if :ERROR
SELECT json_build_object('sqlstate', :'SQLSTATE');
\endif
\endif
