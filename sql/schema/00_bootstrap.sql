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

-- An application may have tables of these names. They are taken over, not replaced: move them aside
-- first. Their indexes move along; a mere RENAME would leave those in the way.
DO $tables$
DECLARE
    found text;
    commands text;
BEGIN
    SELECT pg_catalog.string_agg(pg_catalog.quote_ident(c.relname::pg_catalog.text), ', '
            ORDER BY c.relname),
        pg_catalog.string_agg(pg_catalog.format(' ALTER %s %s SET SCHEMA before_crewsnow_ops;',
            CASE
                WHEN c.relkind OPERATOR(pg_catalog.=) 'v' THEN 'VIEW'
                WHEN c.relkind OPERATOR(pg_catalog.=) 'm' THEN 'MATERIALIZED VIEW'
                WHEN c.relkind OPERATOR(pg_catalog.=) 'f' THEN 'FOREIGN TABLE'
                ELSE 'TABLE'
            END,
            c.oid::pg_catalog.regclass), '' ORDER BY c.relname)
    INTO found, commands
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE pg_catalog.quote_ident(n.nspname::pg_catalog.text) OPERATOR(pg_catalog.=)
            pg_catalog.btrim($schema$@extschema@$schema$)
        AND c.relname OPERATOR(pg_catalog.=)
            ANY ('{feature_flags,event_log,processed_events}'::pg_catalog.name[]);
    IF found IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'duplicate_table',
            MESSAGE = pg_catalog.format('this database already has %s', found),
            DETAIL = 'crewsnow_ops makes tables of these names. After CREATE EXTENSION, '
                'crewsnow_ops.adopt takes over the rows. Nothing was changed.',
            HINT = pg_catalog.format('CREATE SCHEMA before_crewsnow_ops;%s '
                'CREATE EXTENSION crewsnow_ops;', commands);
    END IF;
END
$tables$;
