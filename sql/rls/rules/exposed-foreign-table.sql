-- A foreign table cannot have row-level security. The remote server sees the user mapping, not the
-- client role: a role with the grant reaches the whole remote table.
WITH
reached AS (
    SELECT c.oid, c.relowner, c.relname, c.relnamespace, c.oid::regclass::text AS name, s.srvname,
        array_agg(r.oid) AS roles,
        string_agg(format('%s %s', r.rolname, p.privileges), '; ' ORDER BY r.rolname) AS grants
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_foreign_table AS f ON f.ftrelid = c.oid
    JOIN pg_foreign_server AS s ON s.oid = f.ftserver
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND has_schema_privilege(r.oid, n.oid, 'USAGE')
    CROSS JOIN LATERAL (
        SELECT concat_ws(', ',
            CASE WHEN has_any_column_privilege(r.oid, c.oid, 'SELECT') THEN 'SELECT' END,
            CASE WHEN has_any_column_privilege(r.oid, c.oid, 'INSERT') THEN 'INSERT' END,
            CASE WHEN has_any_column_privilege(r.oid, c.oid, 'UPDATE') THEN 'UPDATE' END,
            CASE WHEN has_table_privilege(r.oid, c.oid, 'DELETE') THEN 'DELETE' END) AS privileges
    ) AS p
    WHERE p.privileges <> ''
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    GROUP BY c.oid, s.srvname
)
SELECT
    CASE WHEN t.relnamespace = ANY ($5) THEN 'HIGH' ELSE 'LOW' END AS severity,
    'PROVED' AS confidence, 'foreign table ' || t.name AS object,
    'pg_class'::regclass::oid AS classid, t.oid AS objid, t.oid AS relation,
     'Client roles reach a whole table on another server: a foreign table takes no policy, and the '
     'remote server sees one user for all of them.' AS detail,
    format('%s; server %s', t.grants, t.srvname) AS evidence,
    CASE
        -- A grant on columns was made on purpose.
        WHEN NOT EXISTS (
            SELECT FROM pg_attribute AS a
            WHERE a.attrelid = t.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped
        ) THEN
            CASE
                WHEN NOT pg_has_role(t.relowner, 'USAGE') THEN
                    format(E'-- as %s:\n', translate(pg_get_userbyid(t.relowner), E'\n\r', '  '))
                ELSE ''
            END
                || format(
                    'REVOKE ALL ON %s FROM PUBLIC, %s;', t.name,
                    (
                        SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
                        FROM pg_roles AS r
                        WHERE r.oid = ANY (t.roles)
                    )
                )
    END AS remediation,
    format('foreign_table_in_api_%s_%s', n.nspname, t.relname) AS cache_key
FROM reached AS t
JOIN pg_namespace AS n ON n.oid = t.relnamespace
ORDER BY t.relnamespace <> ALL ($5), t.name
LIMIT 200
