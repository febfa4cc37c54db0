-- Default privileges that grant each new table to client roles. The next CREATE TABLE without
-- row-level security is public as soon as it commits. Supabase projects start this way.
WITH
found AS (
    SELECT d.oid, d.defaclrole, d.defaclnamespace, d.defaclobjtype, x.grantee,
        string_agg(DISTINCT x.privilege_type, ', ' ORDER BY x.privilege_type) AS privileges
    FROM pg_default_acl AS d
    CROSS JOIN LATERAL aclexplode(d.defaclacl) AS x
    WHERE d.defaclobjtype IN ('r', 'f')
        -- A role of the platform counts once it owns a table of the application.
        AND (
            pg_get_userbyid(d.defaclrole) !~ '^supabase_\w*admin$'
                OR EXISTS (
                    SELECT FROM pg_class AS c
                    WHERE c.relowner = d.defaclrole AND c.relkind IN ('r', 'p')
                        AND c.relnamespace <> ALL ($6)
                        AND c.relnamespace::regnamespace::text
                            !~ '^(pg_|information_schema$)'
                        AND NOT EXISTS (
                            SELECT FROM pg_depend AS e
                            WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid
                                AND e.deptype = 'e'
                        )
                )
        )
        AND (
            x.grantee = 0 AND (d.defaclobjtype = 'r' OR d.defaclnamespace <> 0)
                OR EXISTS (
                    SELECT FROM unnest($1) AS r (oid)
                    WHERE x.grantee <> 0 AND pg_has_role(r.oid, x.grantee, 'USAGE')
                )
        )
    GROUP BY d.oid, d.defaclrole, d.defaclnamespace, d.defaclobjtype, x.grantee
),
acls AS (
    SELECT f.oid, f.defaclrole, f.defaclnamespace, f.defaclobjtype,
        string_agg(
            format('%s %s', CASE f.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(f.grantee) END,
                f.privileges),
            '; ' ORDER BY f.grantee) AS grants,
        string_agg(
            format(
                'ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE ALL ON %s FROM %s;',
                pg_get_userbyid(f.defaclrole),
                coalesce(' IN SCHEMA ' || quote_ident(n.nspname), ''),
                CASE f.defaclobjtype WHEN 'r' THEN 'TABLES' ELSE 'ROUTINES' END,
                CASE f.grantee
                    WHEN 0 THEN 'PUBLIC'
                    ELSE quote_ident(pg_get_userbyid(f.grantee))
                END
            ),
            E'\n' ORDER BY f.grantee) AS commands,
        max(n.nspname) AS nspname
    FROM found AS f
    LEFT JOIN pg_namespace AS n ON n.oid = f.defaclnamespace
    GROUP BY f.oid, f.defaclrole, f.defaclnamespace, f.defaclobjtype
)
SELECT
    'LOW' AS severity,
    'SUSPECTED' AS confidence,
    format('default privileges of %I on %s', pg_get_userbyid(a.defaclrole),
        CASE a.defaclobjtype WHEN 'r' THEN 'tables' ELSE 'functions' END)
        || coalesce(' in ' || quote_ident(a.nspname), '') AS object,
    'pg_default_acl'::regclass::oid AS classid, a.oid AS objid, NULL::oid AS relation,
    CASE a.defaclobjtype
        WHEN 'r' THEN
            'Each new table is granted to client roles: until row-level security is enabled, they '
            'reach every row.'
        ELSE 'Client roles may call each new function, SECURITY DEFINER functions included.'
    END AS detail,
    a.grants AS evidence,
    CASE
        WHEN NOT pg_has_role(a.defaclrole, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(a.defaclrole), E'\n\r', '  '))
        ELSE ''
    END
        || a.commands AS remediation,
    NULL::text AS cache_key
FROM acls AS a
ORDER BY a.defaclobjtype = 'f', object
LIMIT 200
