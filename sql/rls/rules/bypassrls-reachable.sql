-- Role that bypasses row-level security, or can become such a role by one SET ROLE. BYPASSRLS is
-- not inherited, but a member of the role may SET ROLE to it. On Supabase the login role of the API
-- may become the client roles and service_role by design: INFO.
WITH
exempt_roles AS (
    SELECT r.oid, r.rolname, r.rolsuper
    FROM pg_roles AS r
    WHERE r.rolsuper OR r.rolbypassrls
),
-- PostgreSQL 16 separates membership from the right to SET ROLE.
set_role_privilege AS (
    SELECT CASE
        WHEN EXISTS (
            SELECT FROM pg_attribute AS a
            WHERE a.attrelid = 'pg_auth_members'::regclass AND a.attname = 'set_option'
        ) THEN 'SET'
        ELSE 'MEMBER'
    END AS name
),
candidates AS (
    SELECT r.oid, r.rolname, r.rolsuper, r.rolbypassrls, r.rolcanlogin,
        r.oid = ANY ($1) AS is_client,
        EXISTS (
            SELECT FROM unnest($1) AS c (oid)
            WHERE pg_has_role(r.oid, c.oid, 'MEMBER')
        ) AS serves_clients
    FROM pg_roles AS r
    WHERE (r.rolcanlogin OR r.oid = ANY ($1)) AND r.rolname !~ '^(pg_|supabase_\w*admin$)'
        AND (r.oid = ANY ($1) OR NOT r.rolsuper)
),
found AS (
    SELECT r.*, t.targets, t.has_superuser,
        CASE
            WHEN r.is_client AND (r.rolsuper OR r.rolbypassrls) THEN 1
            WHEN t.targets IS NULL THEN 5
            WHEN r.is_client OR (r.serves_clients AND t.has_superuser) THEN 2
            WHEN r.serves_clients OR r.rolbypassrls THEN 5
            ELSE 3
        END AS rank
    FROM candidates AS r
    CROSS JOIN set_role_privilege AS p
    CROSS JOIN LATERAL (
        SELECT string_agg(quote_ident(a.rolname), ', ' ORDER BY a.rolname) AS targets,
            bool_or(a.rolsuper) AS has_superuser
        FROM exempt_roles AS a
        WHERE a.oid <> r.oid AND NOT r.rolsuper AND pg_has_role(r.oid, a.oid, p.name)
    ) AS t
    WHERE r.rolsuper OR r.rolbypassrls OR t.targets IS NOT NULL
)
SELECT
    CASE f.rank
        WHEN 1 THEN 'CRITICAL'
        WHEN 2 THEN 'HIGH'
        WHEN 3 THEN 'MEDIUM'
        ELSE 'INFO'
    END AS severity,
    CASE WHEN f.rank < 3 THEN 'PROVED' ELSE 'SUSPECTED' END AS confidence,
    'role ' || quote_ident(f.rolname) AS object, 'pg_authid'::regclass::oid AS classid,
    f.oid AS objid, NULL::oid AS relation,
    CASE
        WHEN f.rank = 1 THEN
            'Requests run as this role, and it bypasses row-level security: no policy applies to '
            'them.'
        WHEN f.rank = 2 THEN
            format('%s this role, and it may SET ROLE to %s, which bypasses row-level security.',
                CASE WHEN f.is_client THEN 'Requests run as' ELSE 'The API logs in as' END,
                f.targets)
        WHEN f.rank = 3 THEN format(
            'The role may log in and SET ROLE to %s, which bypasses row-level security. Check who '
            'uses it.', f.targets)
        WHEN f.rolbypassrls THEN
            'The role may log in and bypasses row-level security. No client request should run as '
            'it.'
        ELSE format(
            'The API logs in as this role and becomes a client role or %s, as the token says. A '
            'holder of the key that signs tokens bypasses row-level security. Supabase is designed '
            'this way.', f.targets)
    END AS detail,
    concat_ws(
        '; ', CASE WHEN f.rolcanlogin THEN 'LOGIN' END, CASE WHEN f.rolsuper THEN 'SUPERUSER' END,
        CASE WHEN f.rolbypassrls THEN 'BYPASSRLS' END, 'may SET ROLE ' || f.targets,
        CASE
            WHEN f.is_client THEN 'client role'
            WHEN f.serves_clients THEN 'may become a client role'
        END
    ) AS evidence,
    CASE
        WHEN f.rank < 3 THEN
            CASE
                WHEN NOT EXISTS (
                    SELECT FROM pg_roles AS me
                    WHERE me.rolname = current_user AND me.rolsuper
                ) THEN E'-- as a superuser:\n'
                ELSE ''
            END
                || concat_ws(
                    E'\n',
                    CASE
                        WHEN f.rank = 1
                            THEN format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS;', f.rolname)
                    END,
                    (
                        SELECT string_agg(format('REVOKE %I FROM %I;', g.rolname, f.rolname), E'\n'
                            ORDER BY g.rolname)
                        FROM pg_auth_members AS m
                        JOIN pg_roles AS g ON g.oid = m.roleid
                        WHERE m.member = f.oid
                            AND EXISTS (
                                SELECT FROM exempt_roles AS a
                                WHERE pg_has_role(g.oid, a.oid, 'MEMBER')
                                    AND (f.is_client OR a.rolsuper)
                            )
                    )
                )
    END AS remediation,
    NULL::text AS cache_key
FROM found AS f
ORDER BY f.rank, f.rolname
LIMIT 200
