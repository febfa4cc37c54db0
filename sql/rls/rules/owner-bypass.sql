-- Row-level security does not stop the owner of a table, nor roles that inherit from the owner,
-- unless it is forced. This is harmless while no request runs as such a role. Superusers and
-- BYPASSRLS: see bypassrls-reachable.
WITH
tables AS (
    SELECT c.oid, c.relowner, c.oid::regclass::text AS name,
        c.relnamespace = ANY ($6) AS is_of_platform
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND NOT c.relforcerowsecurity
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
),
owners AS (
    SELECT o.relowner, o.is_of_platform, r.oid AS role, r.rolname,
        r.oid = ANY ($1) AS is_client,
        EXISTS (
            SELECT FROM unnest($1) AS c (oid)
            WHERE pg_has_role(r.oid, c.oid, 'MEMBER')
        ) AS serves_clients
    FROM (SELECT DISTINCT t.relowner, t.is_of_platform FROM tables AS t) AS o
    JOIN pg_roles AS r ON pg_has_role(r.oid, o.relowner, 'USAGE')
    WHERE NOT r.rolsuper AND NOT r.rolbypassrls
        AND NOT (o.is_of_platform AND r.rolname ~ '^supabase_\w*admin$')
        AND (r.oid = ANY ($1) OR r.rolcanlogin)
),
-- Owners of SECURITY DEFINER functions that policies call: FORCE would apply policies to them.
owners_of_helpers AS (
    SELECT DISTINCT p.proowner
    FROM pg_depend AS d
    JOIN pg_proc AS p ON p.oid = d.refobjid AND p.prosecdef
    WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_proc'::regclass
),
found AS (
    -- Client roles: one finding per table.
    SELECT 1 AS rank, 'table ' || t.name AS object, 'pg_class'::regclass::oid AS classid,
        t.oid AS objid, t.oid AS relation, t.relowner,
        string_agg(o.rolname, ', ' ORDER BY o.rolname) AS roles,
        format('ALTER TABLE %s FORCE ROW LEVEL SECURITY;', t.name) AS command, 1::bigint AS tables
    FROM tables AS t
    JOIN owners AS o ON o.relowner = t.relowner AND o.is_of_platform = t.is_of_platform
        AND o.is_client
    GROUP BY t.oid, t.name, t.relowner
    UNION ALL
    -- Other roles that may log in: one finding per role.
    SELECT CASE WHEN o.serves_clients THEN 2 ELSE 3 END, 'role ' || quote_ident(o.rolname),
        'pg_authid'::regclass::oid, o.role, NULL, min(t.relowner::bigint)::oid, o.rolname,
        string_agg(format('ALTER TABLE %s FORCE ROW LEVEL SECURITY;', t.name), E'\n'
            ORDER BY t.name),
        count(*)
    FROM tables AS t
    JOIN owners AS o ON o.relowner = t.relowner AND o.is_of_platform = t.is_of_platform
        AND NOT o.is_client
    GROUP BY o.role, o.rolname, o.serves_clients
)
SELECT
    CASE f.rank WHEN 1 THEN 'CRITICAL' WHEN 2 THEN 'HIGH' ELSE 'MEDIUM' END AS severity,
    CASE f.rank WHEN 1 THEN 'PROVED' ELSE 'SUSPECTED' END AS confidence, f.object, f.classid,
    f.objid, f.relation,
    CASE f.rank
        WHEN 1 THEN format(
            'Requests run as %s, which has the rights of the table owner: row-level security does '
            'not stop them, and they may disable it. Another owner is better than FORCE.', f.roles)
        WHEN 2 THEN format(
            'The API logs in as this role, which has the rights of the owner of %s tables: until '
            'it becomes a client role, no policy applies.', f.tables)
        ELSE format(
            'The role may log in and has the rights of the owner of %s tables, whose policies do '
            'not apply to it. If an application runs as this role, the policies protect nothing.',
            f.tables)
    END AS detail,
    CASE f.rank
        WHEN 1 THEN
            format('owner %s; roles with its rights: %s; not forced', pg_get_userbyid(f.relowner),
                f.roles)
        ELSE format('LOGIN; %s tables with row-level security that is not forced', f.tables)
    END AS evidence,
    CASE
        -- Jobs of other roles may need all rows, and policies may rely on functions of the owner.
        WHEN f.rank < 3 AND f.relowner NOT IN (SELECT o.proowner FROM owners_of_helpers AS o) THEN
            CASE
                WHEN NOT pg_has_role(f.relowner, 'USAGE') THEN
                    format(E'-- as %s:\n', translate(pg_get_userbyid(f.relowner), E'\n\r', '  '))
                ELSE ''
            END
                || f.command
    END AS remediation,
    NULL::text AS cache_key
FROM found AS f
ORDER BY f.rank, f.object
LIMIT 200
