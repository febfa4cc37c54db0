-- pgrx reads and writes text as UTF-8, in any database encoding. Failing here is better than
-- failing on the first accented character.
DO $encoding$
BEGIN
    IF pg_catalog.current_setting('server_encoding') OPERATOR(pg_catalog.<>) 'UTF8' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = 'crewsnow_ops needs a database in UTF8',
            DETAIL = 'This database is in '
                OPERATOR(pg_catalog.||) pg_catalog.current_setting('server_encoding')
                OPERATOR(pg_catalog.||) '.',
            HINT = 'CREATE DATABASE crewsnow ENCODING ''UTF8'' TEMPLATE template0;';
    END IF;
END
$encoding$;

-- Without IF NOT EXISTS: CREATE EXTENSION must fail if a schema of this name was prepared by
-- another role.
CREATE SCHEMA crewsnow_ops;
COMMENT ON SCHEMA crewsnow_ops IS
    'Objects of the extension crewsnow_ops, except those that the runbook names.';
