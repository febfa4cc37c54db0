-- $1 client roles. The roles beside them that policies name, or that the login role of requests can
-- become. Superusers and roles with BYPASSRLS are exempt from every policy and left out, and so are
-- groups that a client role belongs to.
WITH
named AS (
    SELECT DISTINCT r.oid
    FROM pg_policy AS p
    CROSS JOIN unnest(p.polroles) AS r (oid)
    WHERE NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass
        AND d.objid = p.polrelid AND d.objsubid = 0 AND d.deptype = 'e')
),
login_roles AS (
    SELECT g.oid
    FROM pg_roles AS g
    WHERE g.rolcanlogin AND NOT g.rolsuper AND NOT g.rolbypassrls AND g.oid <> ALL ($1)
        AND EXISTS (
            SELECT FROM unnest($1) AS c (oid) WHERE pg_has_role(g.oid, c.oid, 'MEMBER')
        )
)
SELECT r.oid, r.rolname::text
FROM pg_roles AS r
WHERE NOT r.rolsuper AND NOT r.rolbypassrls AND r.rolname !~ '^pg_' AND r.oid <> ALL ($1)
    AND NOT EXISTS (SELECT FROM unnest($1) AS c (oid) WHERE pg_has_role(c.oid, r.oid, 'USAGE'))
    AND (
        r.oid IN (SELECT n.oid FROM named AS n)
        OR r.oid NOT IN (SELECT g.oid FROM login_roles AS g)
            AND EXISTS (SELECT FROM login_roles AS g WHERE pg_has_role(g.oid, r.oid, 'MEMBER'))
    )
ORDER BY r.rolname
LIMIT 200
