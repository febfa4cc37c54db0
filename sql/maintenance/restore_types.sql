-- Enums, domains, ranges and base types. Array types and row types follow from others.
SELECT jsonb_strip_nulls(jsonb_build_object(
    'kind', CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range type'
        ELSE 'type' END,
    'name', format('%I.%I', n.nspname, t.typname),
    'parent', quote_ident(n.nspname),
    'extension', e.extname,
    'definition', jsonb_build_object(
        'owner', pg_get_userbyid(t.typowner),
        'labels', (SELECT jsonb_agg(l.enumlabel ORDER BY l.enumsortorder) FROM pg_enum AS l
            WHERE l.enumtypid = t.oid),
        'base type', CASE WHEN t.typbasetype <> 0 THEN format_type(t.typbasetype, t.typtypmod) END,
        'NOT NULL', CASE WHEN t.typnotnull THEN true END,
        'default', coalesce(pg_get_expr(t.typdefaultbin, 0), t.typdefault),
        'collation', CASE WHEN t.typcollation <> 0 THEN t.typcollation::regcollation::text END,
        'constraint', (SELECT jsonb_object_agg(k.conname, pg_get_constraintdef(k.oid))
            FROM pg_constraint AS k WHERE k.contypid = t.oid AND k.contype = 'c'),
        'range', (SELECT jsonb_build_object('subtype', r.rngsubtype::regtype::text,
                'multirange', r.rngmultitypid::regtype::text,
                'operator class', o.opcname,
                'collation', r.rngcollation::regcollation::text,
                'functions', ARRAY[r.rngcanonical, r.rngsubdiff]::regproc[]::text)
            FROM pg_range AS r JOIN pg_opclass AS o ON o.oid = r.rngsubopc
            WHERE r.rngtypid = t.oid),
        'functions', CASE WHEN t.typtype = 'b' THEN ARRAY[t.typinput, t.typoutput, t.typreceive,
            t.typsend, t.typmodin, t.typmodout, t.typanalyze]::regproc[]::text END,
        'layout', CASE WHEN t.typtype = 'b' THEN jsonb_build_array(t.typlen, t.typbyval,
            t.typcategory, t.typispreferred, t.typdelim, t.typalign, t.typstorage) END)))::text
FROM pg_type AS t
JOIN pg_namespace AS n ON n.oid = t.typnamespace
LEFT JOIN pg_depend AS x ON x.classid = 'pg_type'::regclass AND x.objid = t.oid
    AND x.objsubid = 0 AND x.deptype = 'e'
LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
WHERE t.oid >= 16384 AND t.typtype IN ('e', 'd', 'r', 'b') AND n.nspname !~ '^pg_(temp|toast)'
    AND NOT EXISTS (SELECT FROM pg_type AS element WHERE element.typarray = t.oid)
