-- Row-level security without a permissive policy: only the owner and roles that bypass row-level
-- security reach rows. Correct for tables of the server; an outage where client roles need access.
SELECT
    'INFO' AS severity, 'PROVED' AS confidence, 'table ' || c.oid::regclass AS object,
    'pg_class'::regclass::oid AS classid, c.oid AS objid, c.oid AS relation,
    CASE
        WHEN p.policies > 0 THEN
            'The table has restrictive policies only, which limit access and never grant it: '
            'client roles get no row.'
        ELSE 'The table has no policy: client roles get no row.'
    END
        || CASE
            WHEN g.grants IS NULL THEN ''
            ELSE ' They have privileges on it: check whether they need access.'
        END AS detail,
    concat_ws('; ', 'row-level security is on', nullif(p.policies, 0) || ' restrictive policies',
        coalesce(g.grants, 'no grants to client roles')) AS evidence,
    NULL::text AS remediation,
    CASE
        WHEN p.policies = 0 THEN format('rls_enabled_no_policy_%s_%s', n.nspname, c.relname)
    END AS cache_key
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT count(*) AS policies, count(*) FILTER (WHERE p.polpermissive) AS permissive
    FROM pg_policy AS p
    WHERE p.polrelid = c.oid
) AS p
CROSS JOIN LATERAL (
    SELECT 'grants to ' || string_agg(r.rolname, ', ' ORDER BY r.rolname) AS grants
    FROM pg_roles AS r
    WHERE r.oid = ANY ($1) AND has_schema_privilege(r.oid, n.oid, 'USAGE')
        AND (
            has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE')
                OR has_table_privilege(r.oid, c.oid, 'DELETE'))
) AS g
WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND p.permissive = 0
    AND NOT (
        c.relnamespace = ANY ($6) AND pg_get_userbyid(c.relowner) ~ '^supabase_\w*admin$'
    )
    AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
    -- Partitions are reached through their parents.
    AND NOT (c.relispartition AND p.policies = 0 AND g.grants IS NULL)
ORDER BY g.grants IS NULL, object
LIMIT 200
