-- More than one permissive policy for the same role and command: all are evaluated, and one that
-- passes is enough. This costs time and clarity. Merging them only to satisfy a linter can widen
-- access.
WITH
commands AS (
    SELECT p.oid, p.polrelid, p.polname, p.polcmd, p.polroles, c.relname, c.relnamespace,
        r.oid AS client, r.rolname, x.command
    FROM pg_policy AS p
    JOIN pg_class AS c ON c.oid = p.polrelid AND c.relrowsecurity
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND NOT r.rolbypassrls
        AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
        AND EXISTS (
            SELECT FROM unnest(p.polroles) AS t (oid)
            WHERE t.oid = 0 OR pg_has_role(r.oid, t.oid, 'USAGE')
        )
    CROSS JOIN (VALUES ('SELECT', 'r'::"char"), ('INSERT', 'a'), ('UPDATE', 'w'),
        ('DELETE', 'd')) AS x (command, polcmd)
    WHERE p.polpermissive AND p.polcmd IN ('*', x.polcmd)
        AND CASE x.command
            WHEN 'DELETE' THEN has_table_privilege(r.oid, c.oid, 'DELETE')
            ELSE has_any_column_privilege(r.oid, c.oid, x.command)
        END
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
)
SELECT
    'INFO' AS severity, 'PROVED' AS confidence,
    format('table %s for %s by %s', m.polrelid::regclass, m.command, m.rolname) AS object,
    'pg_class'::regclass::oid AS classid, m.polrelid AS objid, m.polrelid AS relation,
    format('%s permissive policies are evaluated for each %s by %s; one that passes is enough.',
        count(*), m.command, m.rolname)
        || CASE
            WHEN count(DISTINCT m.polcmd) > 1 THEN
                ' They are for different commands: one FOR ALL policy in their place would admit '
                'for every command what each admits for its own.'
            WHEN count(DISTINCT m.polroles) > 1 THEN
                ' They are for different roles: one policy in their place would give each role the '
                'access of the others.'
            ELSE ''
        END AS detail,
    string_agg(
        format(
            '"%s" FOR %s', replace(m.polname, '"', '""'),
            CASE m.polcmd
                WHEN 'r' THEN 'SELECT'
                WHEN 'a' THEN 'INSERT'
                WHEN 'w' THEN 'UPDATE'
                WHEN 'd' THEN 'DELETE'
                ELSE 'ALL'
            END
        ),
        ', ' ORDER BY m.polname) AS evidence, NULL::text AS remediation,
    format('multiple_permissive_policies_%s_%s_%s_%s',
        (SELECT n.nspname FROM pg_namespace AS n WHERE n.oid = m.relnamespace), m.relname,
        m.rolname, m.command) AS cache_key
FROM commands AS m
GROUP BY m.polrelid, m.relname, m.relnamespace, m.client, m.rolname, m.command
HAVING count(*) > 1
ORDER BY count(*) DESC, object
LIMIT 200
