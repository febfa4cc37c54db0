-- TRUNCATE, REFERENCES, TRIGGER and MAINTAIN are not asked by row-level security: a role without a visible row may empty the table. APIs offer
-- no TRUNCATE, so it takes a statement of one's own; no client needs any of them.
WITH
held AS (
    SELECT c.oid, c.relowner, c.relnamespace, c.oid::regclass::text AS name, bool_or(p.privileges ~ 'TRUNCATE') AS empties,
        bool_or(r.rolcanlogin) AS logs_in,
        string_agg(format('%s %s', r.rolname, p.privileges), '; ' ORDER BY r.rolname) AS grants,
        string_agg(DISTINCT p.privileges, ', ') AS privileges, array_agg(r.oid) AS roles
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND has_schema_privilege(r.oid, n.oid, 'USAGE')
    CROSS JOIN LATERAL (
        SELECT concat_ws(', ', CASE WHEN has_table_privilege(r.oid, c.oid, 'TRUNCATE') THEN 'TRUNCATE' END,
            CASE WHEN has_any_column_privilege(r.oid, c.oid, 'REFERENCES') THEN 'REFERENCES' END,
            CASE WHEN has_table_privilege(r.oid, c.oid, 'TRIGGER') THEN 'TRIGGER' END,
            CASE WHEN c.relowner <> r.oid AND EXISTS (SELECT FROM aclexplode(c.relacl) AS a
                WHERE a.privilege_type = 'MAINTAIN' AND (a.grantee = 0 OR pg_has_role(r.oid, a.grantee, 'USAGE'))) THEN 'MAINTAIN' END) AS privileges
    ) AS p
    WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND p.privileges <> '' AND NOT pg_has_role(r.oid, c.relowner, 'USAGE')
        AND pg_get_userbyid(c.relowner) !~ '^supabase_\w*admin$'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    GROUP BY c.oid
)
SELECT
    CASE WHEN h.empties AND h.logs_in THEN 'HIGH' WHEN h.empties AND h.relnamespace = ANY ($5) THEN 'MEDIUM' ELSE 'LOW' END AS severity,
    'PROVED' AS confidence,
    'table ' || h.name AS object, 'pg_class'::regclass::oid AS classid, h.oid AS objid, h.oid AS relation,
    CASE WHEN h.empties THEN 'Clients may TRUNCATE it, the rows that policies hide from them included.'
        ELSE 'Clients hold privileges that row-level security does not limit: a foreign key of theirs tells which keys exist, a trigger of theirs runs as whoever writes.' END AS detail,
    h.grants AS evidence,
    CASE WHEN NOT pg_has_role(h.relowner, 'USAGE') THEN format(E'-- as %s:\n', translate(pg_get_userbyid(h.relowner), E'\n\r', '  ')) ELSE '' END
        || format('REVOKE %s ON %s FROM PUBLIC, %s;',
            (SELECT string_agg(DISTINCT p.name, ', ') FROM regexp_split_to_table(h.privileges, ', ') AS p (name)), h.name,
            (SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname) FROM pg_roles AS r WHERE r.oid = ANY (h.roles))) AS remediation,
    NULL::text AS cache_key
FROM held AS h
ORDER BY NOT h.empties, NOT h.logs_in, h.relnamespace <> ALL ($5), h.name
LIMIT 200
