-- The owners that are no superusers, of the relations $1, the functions $2 and the domains $3. A
-- superuser's view runs the code that it names with the rights of its reader, so it counts as
-- that code. A domain counts with the domains that it is made of.
WITH RECURSIVE used (catalog, id) AS (
    SELECT 'pg_class'::regclass, c FROM unnest($1) AS c
    UNION
    SELECT 'pg_proc'::regclass, p FROM unnest($2) AS p
    UNION
    SELECT 'pg_type'::regclass, t FROM unnest($3) AS t
    UNION
    SELECT n.catalog, n.id
    FROM used AS u
    CROSS JOIN LATERAL (
        SELECT d.refclassid::regclass, d.refobjid
        FROM pg_class AS c
        JOIN pg_roles AS o ON o.oid = c.relowner
        JOIN pg_rewrite AS w ON w.ev_class = c.oid
        JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
        WHERE u.catalog = 'pg_class'::regclass AND c.oid = u.id AND c.relkind = 'v'
            AND o.rolsuper
        UNION ALL
        SELECT 'pg_proc'::regclass, p.oprcode::oid
        FROM pg_operator AS p
        WHERE u.catalog = 'pg_operator'::regclass AND p.oid = u.id
        UNION ALL
        SELECT 'pg_type'::regclass, t.typbasetype
        FROM pg_type AS t
        WHERE u.catalog = 'pg_type'::regclass AND t.oid = u.id AND t.typtype = 'd'
    ) AS n (catalog, id)
)
SELECT DISTINCT a.rolname::text
FROM used AS u
CROSS JOIN LATERAL (
    SELECT c.relowner FROM pg_class AS c WHERE u.catalog = 'pg_class'::regclass AND c.oid = u.id
    UNION ALL
    SELECT p.proowner FROM pg_proc AS p WHERE u.catalog = 'pg_proc'::regclass AND p.oid = u.id
    UNION ALL
    SELECT t.typowner
    FROM pg_type AS t
    WHERE u.catalog = 'pg_type'::regclass AND t.oid = u.id AND t.typtype = 'd'
) AS o (owner)
JOIN pg_roles AS a ON a.oid = o.owner
WHERE NOT a.rolsuper
ORDER BY 1
