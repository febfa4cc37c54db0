-- Two Supabase services that follow grants alone. pg_graphql shows the structure of each relation
-- that a client role may select from. pgmq keeps queues in tables, which a grant opens to client
-- roles.
WITH
relations AS (
    SELECT c.oid, c.relkind, c.relowner, c.relname, c.relrowsecurity, n.nspname,
        array_agg(r.oid) AS roles, string_agg(r.rolname, ', ' ORDER BY r.rolname) AS clients,
        bool_or(r.rolname = 'anon') AS is_for_anon,
        bool_or(has_any_column_privilege(r.oid, c.oid, 'SELECT')) AS is_readable
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND has_schema_privilege(r.oid, n.oid, 'USAGE')
        AND (
            has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE')
                OR has_table_privilege(r.oid, c.oid, 'DELETE'))
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
    GROUP BY c.oid, n.nspname
),
found AS (
    SELECT 'HIGH' AS severity, 'PROVED' AS confidence, 'table ' || t.oid::regclass AS object,
        'pg_class'::regclass::oid AS classid, t.oid AS objid, t.oid AS relation,
         'The queue has no row-level security and client roles have privileges on it: they reach '
         'the messages of all users.' AS detail, 'granted to ' || t.clients AS evidence,
        CASE
            WHEN NOT pg_has_role(t.relowner, 'USAGE')
                THEN format(E'-- as %s:\n', translate(pg_get_userbyid(t.relowner), E'\n\r', '  '))
            ELSE ''
        END
            || format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', t.oid::regclass) AS remediation,
        format('rls_disabled_in_public_%s_%s', t.nspname, t.relname) AS cache_key
    FROM relations AS t
    WHERE t.nspname = 'pgmq' AND t.relname ~ '^[qa]_' AND t.relkind IN ('r', 'p')
        AND NOT t.relrowsecurity
    UNION ALL
    SELECT 'INFO', 'PROVED',
        CASE t.relkind
            WHEN 'v' THEN 'view '
            WHEN 'm' THEN 'materialized view '
            WHEN 'f' THEN 'foreign table '
            ELSE 'table '
        END
            || t.oid::regclass,
        'pg_class'::regclass::oid, t.oid, t.oid,
        format('pg_graphql shows the names and types of its columns to %s.',
            CASE WHEN t.is_for_anon THEN 'everyone' ELSE 'all signed-in users' END),
        'SELECT for ' || t.clients, NULL::text,
        (
            -- One lint for each role.
            SELECT string_agg(
                format('pg_graphql_%s_table_exposed_%s_%s', k.role, t.nspname, t.relname), E'\n'
                ORDER BY k.role)
            FROM (VALUES ('anon'), ('authenticated')) AS k (role)
            WHERE t.clients ~ ('\m' || k.role || '\M')
        )
    FROM relations AS t
    WHERE t.is_readable AND t.nspname <> 'pgmq'
        AND EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pg_graphql')
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e'
        )
)
SELECT
    f.severity, f.confidence, f.object, f.classid, f.objid, f.relation, f.detail, f.evidence,
    f.remediation, f.cache_key
FROM found AS f
ORDER BY f.severity <> 'HIGH', f.object
LIMIT 200
