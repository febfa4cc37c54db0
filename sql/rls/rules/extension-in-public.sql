-- Extensions in the schema public put their functions and types where clients reach them, among the application's own. Tidiness rather than a
-- leak. This extension is left out: its runbook lives there.
SELECT
    'INFO' AS severity, 'PROVED' AS confidence,
    'extension ' || quote_ident(e.extname) AS object, 'pg_extension'::regclass::oid AS classid, e.oid AS objid, NULL::oid AS relation,
    'It is installed in the schema public, where clients reach what it brings.' AS detail,
    format('version %s, %s', e.extversion, CASE WHEN e.extrelocatable THEN 'can be moved'
        ELSE 'cannot be moved, only installed anew' END) AS evidence,
    CASE WHEN e.extrelocatable THEN
        CASE WHEN NOT pg_has_role(e.extowner, 'USAGE') THEN format(E'-- as %s:\n', translate(pg_get_userbyid(e.extowner), E'\n\r', '  ')) ELSE '' END
        || format(E'CREATE SCHEMA IF NOT EXISTS extensions;\nGRANT USAGE ON SCHEMA extensions TO PUBLIC;\nALTER EXTENSION %I SET SCHEMA extensions;',
            e.extname)
    END AS remediation,
    format('extension_in_public_%s', e.extname) AS cache_key
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace AND n.nspname = 'public'
WHERE e.extname NOT IN ('plpgsql', 'crewsnow_ops')
ORDER BY e.extname
LIMIT 200
