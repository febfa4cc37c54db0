-- Roles that requests or applications log in as and that are above row-level security, or one SET ROLE away from a role that is. BYPASSRLS is
-- not inherited, but it is had for the asking. The login role of an API that may become both the clients and a service role is Supabase's own
-- design.
WITH
above AS (
    SELECT r.oid, r.rolname, r.rolsuper FROM pg_roles AS r WHERE r.rolsuper OR r.rolbypassrls
),
-- PostgreSQL 16 tells membership from being allowed to SET ROLE.
privilege AS (
    SELECT CASE WHEN EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = 'pg_auth_members'::regclass AND a.attname = 'set_option') THEN 'SET'
        ELSE 'MEMBER' END AS name
),
roles AS (
    SELECT r.oid, r.rolname, r.rolsuper, r.rolbypassrls, r.rolcanlogin, r.oid = ANY ($1) AS is_client,
        EXISTS (SELECT FROM unnest($1) AS c (oid) WHERE pg_has_role(r.oid, c.oid, 'MEMBER')) AS serves_clients
    FROM pg_roles AS r
    WHERE (r.rolcanlogin OR r.oid = ANY ($1)) AND r.rolname !~ '^(pg_|supabase_\w*admin$)' AND (r.oid = ANY ($1) OR NOT r.rolsuper)
),
found AS (
    SELECT r.*, t.targets, t.super,
        CASE WHEN r.is_client AND (r.rolsuper OR r.rolbypassrls) THEN 1
            WHEN t.targets IS NULL THEN 5
            WHEN r.is_client OR (r.serves_clients AND t.super) THEN 2
            WHEN r.serves_clients OR r.rolbypassrls THEN 5
            ELSE 3 END AS rank
    FROM roles AS r
    CROSS JOIN privilege AS p
    CROSS JOIN LATERAL (
        SELECT string_agg(quote_ident(a.rolname), ', ' ORDER BY a.rolname) AS targets, bool_or(a.rolsuper) AS super
        FROM above AS a WHERE a.oid <> r.oid AND NOT r.rolsuper AND pg_has_role(r.oid, a.oid, p.name)
    ) AS t
    WHERE r.rolsuper OR r.rolbypassrls OR t.targets IS NOT NULL
)
SELECT
    CASE f.rank WHEN 1 THEN 'CRITICAL' WHEN 2 THEN 'HIGH' WHEN 3 THEN 'MEDIUM' ELSE 'INFO' END AS severity,
    CASE WHEN f.rank < 3 THEN 'PROVED' ELSE 'SUSPECTED' END AS confidence,
    'role ' || quote_ident(f.rolname) AS object, 'pg_authid'::regclass::oid AS classid, f.oid AS objid, NULL::oid AS relation,
    CASE
        WHEN f.rank = 1 THEN 'Requests run as it, and it is above row-level security: no policy is applied.'
        WHEN f.rank = 2 THEN format('%s it, and it may become %s, which is above row-level security.', CASE WHEN f.is_client THEN 'Requests run as'
            ELSE 'The API logs in as' END, f.targets)
        WHEN f.rank = 3 THEN format('It may log in and become %s, which is above row-level security. Know who uses it.', f.targets)
        WHEN f.rolbypassrls THEN 'It may log in and is above row-level security. No request of a client should run as it.'
        ELSE format('The API logs in as it and becomes the clients or %s, as the token says: whoever has the key that signs tokens is above row-level security. So it is meant.', f.targets)
    END AS detail,
    concat_ws('; ', CASE WHEN f.rolcanlogin THEN 'LOGIN' END, CASE WHEN f.rolsuper THEN 'SUPERUSER' END, CASE WHEN f.rolbypassrls
        THEN 'BYPASSRLS' END, 'may SET ROLE ' || f.targets,
        CASE WHEN f.is_client THEN 'client role' WHEN f.serves_clients THEN 'may become a client role' END) AS evidence,
    CASE WHEN f.rank < 3 THEN
        CASE WHEN NOT EXISTS (SELECT FROM pg_roles AS me WHERE me.rolname = current_user AND me.rolsuper) THEN E'-- as a superuser:\n' ELSE '' END
        || concat_ws(E'\n',
            CASE WHEN f.rank = 1 THEN format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS;', f.rolname) END,
            (SELECT string_agg(format('REVOKE %I FROM %I;', g.rolname, f.rolname), E'\n' ORDER BY g.rolname)
                FROM pg_auth_members AS m JOIN pg_roles AS g ON g.oid = m.roleid
                WHERE m.member = f.oid AND EXISTS (
                    SELECT FROM above AS a WHERE pg_has_role(g.oid, a.oid, 'MEMBER') AND (f.is_client OR a.rolsuper))))
    END AS remediation,
    NULL::text AS cache_key
FROM found AS f
ORDER BY f.rank, f.rolname
LIMIT 200
