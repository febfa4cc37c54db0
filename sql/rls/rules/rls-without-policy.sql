-- Row-level security without a permissive policy lets nobody in but the owner and those above it. Right for tables of the server; an outage
-- where clients were meant to get something.
SELECT
    'INFO' AS severity, 'PROVED' AS confidence,
    'table ' || c.oid::regclass AS object, 'pg_class'::regclass::oid AS classid, c.oid AS objid, c.oid AS relation,
    CASE WHEN p.policies > 0 THEN 'It has restrictive policies only, which take away and never give: clients get no row.'
        ELSE 'It has no policy: clients get no row.' END
        || CASE WHEN g.grants IS NULL THEN '' ELSE ' They have privileges on it, so perhaps they should.' END AS detail,
    concat_ws('; ', 'row-level security is on', nullif(p.policies, 0) || ' restrictive policies',
        coalesce(g.grants, 'no grants to clients')) AS evidence,
    NULL::text AS remediation,
    CASE WHEN p.policies = 0 THEN format('rls_enabled_no_policy_%s_%s', n.nspname, c.relname) END AS cache_key
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT count(*) AS policies, count(*) FILTER (WHERE p.polpermissive) AS permissive FROM pg_policy AS p WHERE p.polrelid = c.oid
) AS p
CROSS JOIN LATERAL (
    SELECT 'grants to ' || string_agg(r.rolname, ', ' ORDER BY r.rolname) AS grants
    FROM pg_roles AS r
    WHERE r.oid = ANY ($1) AND has_schema_privilege(r.oid, n.oid, 'USAGE')
        AND (has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE') OR has_table_privilege(r.oid, c.oid, 'DELETE'))
) AS g
WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND p.permissive = 0 AND pg_get_userbyid(c.relowner) !~ '^supabase_\w*admin$'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    -- Partitions are reached through their parents.
    AND NOT (c.relispartition AND p.policies = 0 AND g.grants IS NULL)
ORDER BY g.grants IS NULL, object
LIMIT 200
