-- Policy that lets sessions of a login role read every row of a table with an owner column. The
-- role is none of the client roles in the settings: if it serves requests of users, they all read
-- each other's rows.
WITH
policies AS (
    SELECT p.oid, p.polrelid, p.polroles, c.relowner, c.relnamespace,
        format('policy "%s" on %s', replace(p.polname, '"', '""'), c.oid::regclass) AS name
    FROM pg_policy AS p
    JOIN pg_class AS c ON c.oid = p.polrelid AND c.relrowsecurity
    JOIN crewsnow_ops.rls_policy_facts() AS f
        ON f.policy = p.oid AND f.clause = 'using' AND f.constant = 'true'
    WHERE p.polpermissive AND p.polcmd IN ('r', '*') AND 0 <> ALL (p.polroles)
        AND EXISTS (SELECT FROM crewsnow_ops.rls_owner_columns() AS o WHERE o.relation = p.polrelid)
),
reached AS (
    SELECT p.oid, string_agg(r.rolname, ', ' ORDER BY r.rolname) AS roles
    FROM policies AS p
    JOIN pg_roles AS r ON r.rolcanlogin AND NOT r.rolsuper AND NOT r.rolbypassrls
        AND r.oid <> ALL ($1) AND r.oid <> p.relowner
    WHERE EXISTS (
            SELECT FROM unnest(p.polroles) AS t (oid) WHERE pg_has_role(r.oid, t.oid, 'USAGE')
        )
        AND has_schema_privilege(r.oid, p.relnamespace, 'USAGE')
        AND has_any_column_privilege(r.oid, p.polrelid, 'SELECT')
        -- A role that may read all data is meant to.
        AND NOT pg_has_role(r.oid, 'pg_read_all_data', 'MEMBER')
    GROUP BY p.oid
)
SELECT
    'HIGH' AS severity, 'SUSPECTED' AS confidence, p.name AS object,
    'pg_policy'::regclass::oid AS classid, p.oid AS objid, p.polrelid AS relation,
    format('Sessions of %s read rows of all users. No setting calls a role of these a client role, '
        'so the audit cannot know whether it serves requests of users.', r.roles) AS detail,
    format('login roles: %s; the condition is true for every row', r.roles) AS evidence,
    NULL::text AS remediation, NULL::text AS cache_key
FROM policies AS p
JOIN reached AS r ON r.oid = p.oid
ORDER BY p.name
LIMIT 200
