-- Schemas, extensions, default privileges, event triggers and publications. Schema 2200 is the
-- server's own `public`, which may have another name now.
SELECT jsonb_strip_nulls(jsonb_build_object(
    'kind', 'schema', 'name', quote_ident(n.nspname), 'extension', e.extname,
    'definition', jsonb_build_object('owner', pg_get_userbyid(n.nspowner))))::text
FROM pg_namespace AS n
LEFT JOIN pg_depend AS x ON x.classid = 'pg_namespace'::regclass AND x.objid = n.oid
    AND x.objsubid = 0 AND x.deptype = 'e'
LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
WHERE (n.oid >= 16384 OR n.oid = 2200) AND n.nspname !~ '^pg_(temp|toast)'
UNION ALL
SELECT jsonb_build_object('kind', 'extension', 'name', e.extname,
    'definition', jsonb_build_object('version', e.extversion, 'schema', n.nspname))::text
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
UNION ALL
SELECT jsonb_build_object('kind', 'default privileges', 'name', format('of role %I%s on %s',
        pg_get_userbyid(d.defaclrole), coalesce(' in schema ' || quote_ident(n.nspname), ''),
        CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences'
            WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas'
            ELSE d.defaclobjtype::text END),
    'definition', jsonb_build_object('to', (SELECT jsonb_object_agg(g.grantee, g.privileges)
        FROM (SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC'
                ELSE pg_get_userbyid(a.grantee)::text END AS grantee,
                string_agg(DISTINCT a.privilege_type
                    || CASE WHEN a.is_grantable THEN '*' ELSE '' END, ', ') AS privileges
            FROM aclexplode(d.defaclacl) AS a GROUP BY 1) AS g)))::text
FROM pg_default_acl AS d
LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
UNION ALL
SELECT jsonb_strip_nulls(jsonb_build_object('kind', 'event trigger',
    'name', quote_ident(t.evtname), 'extension', e.extname,
    'definition', jsonb_build_object('owner', pg_get_userbyid(t.evtowner), 'event', t.evtevent,
        'function', t.evtfoid::regprocedure::text, 'enabled', t.evtenabled,
        'tags', (SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM unnest(t.evttags) AS o))))::text
FROM pg_event_trigger AS t
LEFT JOIN pg_depend AS x ON x.classid = 'pg_event_trigger'::regclass AND x.objid = t.oid
    AND x.objsubid = 0 AND x.deptype = 'e'
LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
UNION ALL
-- The columns of pg_publication depend on the version.
SELECT jsonb_build_object('kind', 'publication', 'name', quote_ident(p.pubname),
    'definition', to_jsonb(p) - '{oid,pubname,pubowner}'::text[] || jsonb_strip_nulls(
        jsonb_build_object('owner', pg_get_userbyid(p.pubowner),
        'schemas', (SELECT jsonb_agg(s.pnnspid::regnamespace::text
                ORDER BY s.pnnspid::regnamespace::text COLLATE "C")
            FROM pg_publication_namespace AS s WHERE s.pnpubid = p.oid),
        'table', (SELECT jsonb_object_agg(r.prrelid::regclass::text, jsonb_build_object(
                'rows', pg_get_expr(r.prqual, r.prrelid),
                'columns', (SELECT jsonb_agg(a.attname ORDER BY a.attname COLLATE "C")
                    FROM pg_attribute AS a
                    WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs))))
            FROM pg_publication_rel AS r WHERE r.prpubid = p.oid))))::text
FROM pg_publication AS p
