-- $1 names of objects. Returns those that exist and that the caller may use. pg_stat_statements
-- must also be loaded. Its row has its schema.
SELECT n.name, e.schema
FROM unnest($1) AS n (name)
LEFT JOIN (
    SELECT e.extname, quote_ident(s.nspname) AS schema, s.nspname
    FROM pg_extension AS e
    JOIN pg_namespace AS s ON s.oid = e.extnamespace
    WHERE e.extname = 'pg_stat_statements'
) AS e ON e.extname = n.name
WHERE CASE
    WHEN n.name = 'pg_stat_statements' THEN
        e.schema IS NOT NULL
        -- Without preloading the setting is unknown, and reading fails with 55000.
        AND EXISTS (SELECT FROM pg_settings AS g WHERE g.name = 'pg_stat_statements.max')
        AND has_schema_privilege(e.nspname, 'USAGE')
        AND has_function_privilege(
            to_regprocedure(e.schema || '.pg_stat_statements(boolean)'), 'EXECUTE')
        AND has_table_privilege(to_regclass(e.schema || '.pg_stat_statements_info'), 'SELECT')
    -- Looking up a name in a schema without USAGE would raise.
    WHEN split_part(n.name, '.', 2) <> '' AND NOT EXISTS (
            SELECT FROM pg_namespace AS s
            WHERE s.nspname = split_part(n.name, '.', 1)
                AND has_schema_privilege(s.oid, 'USAGE'))
        THEN false
    -- A table of that name may belong to another extension, or to a user.
    WHEN n.name = 'cron.job_run_details'
        AND NOT EXISTS (SELECT FROM pg_extension AS c WHERE c.extname = 'pg_cron') THEN false
    WHEN to_regclass(n.name) IS NOT NULL THEN has_table_privilege(to_regclass(n.name), 'SELECT')
    WHEN to_regproc(n.name) IS NOT NULL
        THEN has_function_privilege(to_regproc(n.name)::oid, 'EXECUTE')
END
