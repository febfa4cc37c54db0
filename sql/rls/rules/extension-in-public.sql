-- Extension in the schema public: client roles reach its functions and types, among the names of
-- the application. More a matter of order than a leak. crewsnow_ops is left out: its runbook is in
-- public by design.
SELECT
    'INFO' AS severity, 'PROVED' AS confidence, 'extension ' || quote_ident(e.extname) AS object,
    'pg_extension'::regclass::oid AS classid, e.oid AS objid, NULL::oid AS relation,
     'The extension is installed in the schema public, where client roles reach its functions and '
     'types.' AS detail,
    format(
        'version %s, %s', e.extversion,
        CASE
            WHEN e.extrelocatable THEN 'relocatable'
            ELSE 'not relocatable: it can only be dropped and created again'
        END
    ) AS evidence,
    CASE
        WHEN e.extrelocatable
            AND (x.oid IS NULL
                OR (SELECT bool_and(has_schema_privilege(r.oid, x.oid, 'USAGE'))
                    FROM unnest($1) AS r (oid))) THEN
            CASE
                WHEN NOT pg_has_role(e.extowner, 'USAGE') THEN
                    format(E'-- as %s:\n', translate(pg_get_userbyid(e.extowner), E'\n\r', '  '))
                ELSE ''
            END
                -- A schema that exists may hold objects that a grant would open.
                || CASE
                    WHEN x.oid IS NULL THEN
                        E'CREATE SCHEMA extensions;\nGRANT USAGE ON SCHEMA extensions TO PUBLIC;\n'
                    ELSE ''
                END
                || format('ALTER EXTENSION %I SET SCHEMA extensions;', e.extname)
    END AS remediation,
    format('extension_in_public_%s', e.extname) AS cache_key
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace AND n.nspname = 'public'
LEFT JOIN pg_namespace AS x ON x.nspname = 'extensions'
WHERE e.extname NOT IN ('plpgsql', 'crewsnow_ops')
ORDER BY e.extname
LIMIT 200
