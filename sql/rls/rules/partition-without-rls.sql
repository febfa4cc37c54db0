-- Partition or inheritance child without row-level security below a parent that has it. The
-- policies of the parent apply to queries that name the parent. A query that names the child meets
-- only the policies of the child: none.
WITH RECURSIVE
ancestors AS (
    SELECT h.inhrelid AS child, h.inhparent AS parent
    FROM pg_inherits AS h
    JOIN pg_class AS c ON c.oid = h.inhrelid AND c.relkind IN ('r', 'p', 'f')
    UNION
    SELECT a.child, h.inhparent
    FROM ancestors AS a
    JOIN pg_inherits AS h ON h.inhrelid = a.parent
),
children AS (
    SELECT c.oid, c.relkind, c.relowner, c.relnamespace, c.oid::regclass::text AS name,
        min(p.oid::regclass::text) AS parent
    FROM ancestors AS a
    JOIN pg_class AS c ON c.oid = a.child
    JOIN pg_class AS p ON p.oid = a.parent
    WHERE p.relrowsecurity AND NOT c.relrowsecurity
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    GROUP BY c.oid
),
reached AS (
    SELECT t.oid,
        string_agg(format('%s %s', r.rolname, p.privileges), '; ' ORDER BY r.rolname) AS grants
    FROM children AS t
    JOIN pg_roles AS r ON r.oid = ANY ($1)
    CROSS JOIN LATERAL (
        SELECT concat_ws(', ',
            CASE WHEN has_any_column_privilege(r.oid, t.oid, 'SELECT') THEN 'SELECT' END,
            CASE WHEN has_any_column_privilege(r.oid, t.oid, 'INSERT') THEN 'INSERT' END,
            CASE WHEN has_any_column_privilege(r.oid, t.oid, 'UPDATE') THEN 'UPDATE' END,
            CASE WHEN has_table_privilege(r.oid, t.oid, 'DELETE') THEN 'DELETE' END) AS privileges
    ) AS p
    WHERE p.privileges <> '' AND has_schema_privilege(r.oid, t.relnamespace, 'USAGE')
    GROUP BY t.oid
)
SELECT
    CASE WHEN t.relnamespace = ANY ($5) THEN 'CRITICAL' ELSE 'MEDIUM' END AS severity,
    'PROVED' AS confidence, 'table ' || t.name AS object, 'pg_class'::regclass::oid AS classid,
    t.oid AS objid, t.oid AS relation,
    format(
        'The table is a child of %s, whose policies do not apply to queries that name the child: '
        'client roles reach every row in it.', t.parent) AS detail,
    format('%s; row-level security is on for %s, off here', g.grants, t.parent) AS evidence,
    CASE
        WHEN NOT pg_has_role(t.relowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(t.relowner), E'\n\r', '  '))
        ELSE ''
    END
        || CASE
            WHEN t.relkind = 'f' THEN format(
                'REVOKE ALL ON %s FROM PUBLIC, %s;', t.name,
                (
                    SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
                    FROM pg_roles AS r
                    WHERE r.oid = ANY ($1)
                )
            )
            ELSE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', t.name)
        END AS remediation,
    NULL::text AS cache_key
FROM children AS t
JOIN reached AS g ON g.oid = t.oid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY t.relnamespace <> ALL ($5), t.name
LIMIT 200
