-- Comments and security labels, by their hash. Those of the server's own objects are left out.
SELECT jsonb_strip_nulls(jsonb_build_object('kind', o.kind,
    'name', format('on %s %s', i.type, i.identity), 'extension', e.extname,
    'parent', CASE WHEN o.classoid = 'pg_class'::regclass AND o.objsubid > 0
        THEN o.objoid::regclass::text ELSE i.identity END,
    'definition', jsonb_build_object('text', o.text)))::text
FROM (
    SELECT 'comment' AS kind, d.objoid, d.classoid, d.objsubid, md5(d.description) AS text
    FROM pg_description AS d
    UNION ALL
    SELECT 'security label', l.objoid, l.classoid, l.objsubid, md5(l.provider || l.label)
    FROM pg_seclabel AS l
) AS o
CROSS JOIN LATERAL pg_identify_object(o.classoid, o.objoid, o.objsubid) AS i
LEFT JOIN pg_depend AS x ON x.classid = o.classoid AND x.objid = o.objoid AND x.objsubid = 0
    AND x.deptype = 'e'
LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
WHERE (o.objoid >= 16384 OR o.classoid = 'pg_namespace'::regclass AND o.objoid = 2200)
    AND i.identity IS NOT NULL
    -- pg_dump leaves out comments on inherited constraints.
    AND NOT (o.classoid = 'pg_constraint'::regclass AND EXISTS (SELECT FROM pg_constraint AS k
        WHERE k.oid = o.objoid AND k.conrelid <> 0 AND NOT k.conislocal))
    AND coalesce(i.schema, '') !~ '^pg_(temp|toast)'
