-- Row-level security does not limit TRUNCATE, REFERENCES, TRIGGER and MAINTAIN: a role that sees no
-- row may empty the table. APIs offer no TRUNCATE, so it takes a direct SQL statement. No client
-- role needs any of the four.
WITH
held_privileges AS (
    SELECT c.oid, c.relowner, c.relnamespace, c.oid::regclass::text AS name,
        bool_or(p.privileges ~ 'TRUNCATE') AS can_truncate, bool_or(r.rolcanlogin) AS can_log_in,
        string_agg(format('%s %s', r.rolname, p.privileges), '; ' ORDER BY r.rolname) AS grants,
        string_agg(DISTINCT p.privileges, ', ') AS privileges, array_agg(r.oid) AS roles
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND has_schema_privilege(r.oid, n.oid, 'USAGE')
    CROSS JOIN LATERAL (
        SELECT concat_ws(
            ', ', CASE WHEN has_table_privilege(r.oid, c.oid, 'TRUNCATE') THEN 'TRUNCATE' END,
            CASE WHEN has_any_column_privilege(r.oid, c.oid, 'REFERENCES') THEN 'REFERENCES' END,
            CASE WHEN has_table_privilege(r.oid, c.oid, 'TRIGGER') THEN 'TRIGGER' END,
            CASE
                WHEN c.relowner <> r.oid
                    AND EXISTS (
                        SELECT FROM aclexplode(c.relacl) AS a
                        WHERE a.privilege_type = 'MAINTAIN'
                            AND (a.grantee = 0 OR pg_has_role(r.oid, a.grantee, 'USAGE'))
                    ) THEN 'MAINTAIN'
            END
        ) AS privileges
    ) AS p
    WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND p.privileges <> ''
        AND NOT pg_has_role(r.oid, c.relowner, 'USAGE')
        AND NOT (
            c.relnamespace = ANY ($6) AND pg_get_userbyid(c.relowner) ~ '^supabase_\w*admin$'
        )
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    GROUP BY c.oid
)
SELECT
    CASE
        WHEN h.can_truncate AND h.can_log_in THEN 'HIGH'
        WHEN h.can_truncate AND h.relnamespace = ANY ($5) THEN 'MEDIUM'
        ELSE 'LOW'
    END AS severity,
    'PROVED' AS confidence, 'table ' || h.name AS object, 'pg_class'::regclass::oid AS classid,
    h.oid AS objid, h.oid AS relation,
    CASE
        WHEN h.can_truncate THEN 'Client roles may TRUNCATE the table, hidden rows included.'
        ELSE
            'Client roles hold privileges that row-level security does not limit: REFERENCES '
            'reveals which keys exist, and a trigger runs as each role that writes.'
    END AS detail,
    h.grants AS evidence,
    CASE
        WHEN NOT pg_has_role(h.relowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(h.relowner), E'\n\r', '  '))
        ELSE ''
    END
        || format(
            'REVOKE %s ON %s FROM PUBLIC, %s;',
            (
                SELECT string_agg(DISTINCT p.name, ', ')
                FROM regexp_split_to_table(h.privileges, ', ') AS p (name)
            ),
            h.name,
            (
                SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
                FROM pg_roles AS r
                WHERE r.oid = ANY (h.roles)
            )
        ) AS remediation,
    NULL::text AS cache_key
FROM held_privileges AS h
ORDER BY NOT h.can_truncate, NOT h.can_log_in, h.relnamespace <> ALL ($5), h.name
LIMIT 200
