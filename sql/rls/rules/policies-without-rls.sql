-- Policies on a table whose row-level security is off: they look like protection but are not
-- applied. As bad as rls-off where client roles have privileges, and harder to notice.
WITH
tables AS (
    SELECT c.oid, c.relowner, c.relname, c.relnamespace, c.oid::regclass::text AS name,
        string_agg(quote_ident(p.polname), ', ' ORDER BY p.polname) AS policies
    FROM pg_policy AS p
    JOIN pg_class AS c ON c.oid = p.polrelid
    WHERE NOT c.relrowsecurity
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    GROUP BY c.oid
),
reached AS (
    SELECT t.oid,
        string_agg(format('%s %s', r.rolname, p.privileges), '; ' ORDER BY r.rolname) AS grants
    FROM tables AS t
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
    CASE
        WHEN g.oid IS NULL THEN 'LOW'
        WHEN t.relnamespace = ANY ($5) THEN 'CRITICAL'
        ELSE 'MEDIUM'
    END AS severity,
    CASE WHEN g.oid IS NULL THEN 'SUSPECTED' ELSE 'PROVED' END AS confidence,
    'table ' || t.name AS object, 'pg_class'::regclass::oid AS classid, t.oid AS objid,
    t.oid AS relation,
    CASE
        WHEN g.oid IS NULL THEN
            'The table has policies, but row-level security is off. No client role has a privilege '
            'on it; the next grant opens every row.'
        ELSE
            'The table has policies, but row-level security is off: they are not applied, and '
            'client roles reach every row.'
    END AS detail,
    concat_ws('; ', 'policies: ' || t.policies, g.grants) AS evidence,
    CASE
        WHEN NOT pg_has_role(t.relowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(t.relowner), E'\n\r', '  '))
        ELSE ''
    END
        || format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', t.name) AS remediation,
    format('policy_exists_rls_disabled_%s_%s', n.nspname, t.relname) AS cache_key
FROM tables AS t
JOIN pg_namespace AS n ON n.oid = t.relnamespace
LEFT JOIN reached AS g ON g.oid = t.oid
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY g.oid IS NULL, t.relnamespace <> ALL ($5), t.name
LIMIT 200
