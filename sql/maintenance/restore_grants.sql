-- Privileges of each object, those of its owner and of PUBLIC by default included. Grantors do not
-- change them. The owner is not named: the members of an extension belong to the role that restores
-- a dump. Objects of the server itself count only if their privileges were changed.
WITH object (kind, name, parent, extension, acl, owner) AS (
    SELECT 'relation', format('%I.%I', n.nspname, c.relname), format('%I.%I', n.nspname, c.relname),
        e.extname, coalesce(c.relacl,
            acldefault((CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", c.relowner)),
        c.relowner
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_depend AS x ON x.classid = 'pg_class'::regclass AND x.objid = c.oid
        AND x.objsubid = 0 AND x.deptype = 'e'
    LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
    LEFT JOIN pg_init_privs AS i ON i.classoid = 'pg_class'::regclass AND i.objoid = c.oid
        AND i.objsubid = 0
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_(temp|toast)'
        AND (c.oid >= 16384 OR c.relacl IS DISTINCT FROM i.initprivs)
    UNION ALL
    SELECT 'column', format('%I.%I.%I', n.nspname, c.relname, a.attname),
        format('%I.%I', n.nspname, c.relname), e.extname, a.attacl, c.relowner
    FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_depend AS x ON x.classid = 'pg_class'::regclass AND x.objid = c.oid
        AND x.objsubid = 0 AND x.deptype = 'e'
    LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
    LEFT JOIN pg_init_privs AS i ON i.classoid = 'pg_class'::regclass AND i.objoid = c.oid
        AND i.objsubid = a.attnum
    WHERE cardinality(a.attacl) > 0 AND NOT a.attisdropped AND n.nspname !~ '^pg_(temp|toast)'
        AND (c.oid >= 16384 OR a.attacl IS DISTINCT FROM i.initprivs)
    UNION ALL
    SELECT 'function',
        format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
        format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
        e.extname, coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    LEFT JOIN pg_depend AS x ON x.classid = 'pg_proc'::regclass AND x.objid = p.oid
        AND x.objsubid = 0 AND x.deptype = 'e'
    LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
    LEFT JOIN pg_init_privs AS i ON i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid
    WHERE n.nspname !~ '^pg_(temp|toast)'
        AND (p.oid >= 16384 OR p.proacl IS DISTINCT FROM i.initprivs)
    UNION ALL
    SELECT 'schema', quote_ident(n.nspname), quote_ident(n.nspname), e.extname,
        coalesce(n.nspacl, acldefault('n', n.nspowner)), n.nspowner
    FROM pg_namespace AS n
    LEFT JOIN pg_depend AS x ON x.classid = 'pg_namespace'::regclass AND x.objid = n.oid
        AND x.objsubid = 0 AND x.deptype = 'e'
    LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
    LEFT JOIN pg_init_privs AS i ON i.classoid = 'pg_namespace'::regclass AND i.objoid = n.oid
    WHERE n.nspname !~ '^pg_(temp|toast)'
        AND (n.oid >= 16384 OR n.oid = 2200 OR n.nspacl IS DISTINCT FROM i.initprivs)
    UNION ALL
    SELECT 'type', format('%I.%I', n.nspname, t.typname), format('%I.%I', n.nspname, t.typname),
        e.extname, coalesce(t.typacl, acldefault('T', t.typowner)), t.typowner
    FROM pg_type AS t
    JOIN pg_namespace AS n ON n.oid = t.typnamespace
    LEFT JOIN pg_depend AS x ON x.classid = 'pg_type'::regclass AND x.objid = t.oid
        AND x.objsubid = 0 AND x.deptype = 'e'
    LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
    LEFT JOIN pg_class AS c ON c.oid = t.typrelid
    WHERE t.oid >= 16384 AND n.nspname !~ '^pg_(temp|toast)'
        AND (t.typtype IN ('e', 'd', 'r', 'b') OR c.relkind = 'c')
        AND NOT EXISTS (SELECT FROM pg_type AS element WHERE element.typarray = t.oid)
    UNION ALL
    SELECT 'language', quote_ident(l.lanname), quote_ident(l.lanname), e.extname,
        coalesce(l.lanacl, acldefault('l', l.lanowner)), l.lanowner
    FROM pg_language AS l
    LEFT JOIN pg_depend AS x ON x.classid = 'pg_language'::regclass AND x.objid = l.oid
        AND x.objsubid = 0 AND x.deptype = 'e'
    LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
    LEFT JOIN pg_init_privs AS i ON i.classoid = 'pg_language'::regclass AND i.objoid = l.oid
    WHERE l.oid >= 16384 OR l.lanacl IS DISTINCT FROM i.initprivs
    UNION ALL
    SELECT 'foreign-data wrapper', quote_ident(w.fdwname), quote_ident(w.fdwname), e.extname,
        coalesce(w.fdwacl, acldefault('F', w.fdwowner)), w.fdwowner
    FROM pg_foreign_data_wrapper AS w
    LEFT JOIN pg_depend AS x ON x.classid = 'pg_foreign_data_wrapper'::regclass
        AND x.objid = w.oid AND x.objsubid = 0 AND x.deptype = 'e'
    LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
    UNION ALL
    SELECT 'server', quote_ident(s.srvname), quote_ident(s.srvname), NULL,
        coalesce(s.srvacl, acldefault('S', s.srvowner)), s.srvowner
    FROM pg_foreign_server AS s
)
SELECT jsonb_strip_nulls(jsonb_build_object(
    'kind', 'grants', 'name', format('on %s %s', o.kind, o.name), 'parent', o.parent,
    'extension', o.extension,
    'definition', jsonb_build_object('to', (SELECT jsonb_object_agg(g.grantee, g.privileges)
        FROM (SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' WHEN o.owner THEN 'its owner'
                ELSE pg_get_userbyid(a.grantee)::text END AS grantee,
                string_agg(DISTINCT a.privilege_type
                    || CASE WHEN a.is_grantable THEN '*' ELSE '' END, ', ') AS privileges
            FROM aclexplode(o.acl) AS a GROUP BY 1) AS g))))::text
FROM object AS o
