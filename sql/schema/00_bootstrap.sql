-- pgrx reads and writes text as UTF-8, whatever the database says. Better no extension than one that fails on the first accent.
DO $encoding$
BEGIN
    IF pg_catalog.current_setting('server_encoding') OPERATOR(pg_catalog.<>) 'UTF8' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = 'crewsnow_ops needs a database in UTF8',
            DETAIL = 'This database is in ' OPERATOR(pg_catalog.||) pg_catalog.current_setting('server_encoding')
                OPERATOR(pg_catalog.||) '.',
            HINT = 'CREATE DATABASE crewsnow ENCODING ''UTF8'' TEMPLATE template0;';
    END IF;
END
$encoding$;

-- Plainly, without IF NOT EXISTS: a schema of this name that somebody prepared beforehand must make CREATE EXTENSION fail.
CREATE SCHEMA crewsnow_ops;
COMMENT ON SCHEMA crewsnow_ops IS 'Incident response: everything of the extension crewsnow_ops that the runbook does not name.';
