SELECT jsonb_strip_nulls(jsonb_build_object(
    'kind', 'index',
    'name', format('%I.%I', n.nspname, i.relname),
    'parent', format('%I.%I', n.nspname, c.relname),
    'extension', e.extname,
    'definition', jsonb_build_object(
        'definition', pg_get_indexdef(i.oid),
        'validity', CASE WHEN x.indisvalid THEN 'valid' ELSE 'invalid' END,
        'clustered', CASE WHEN x.indisclustered THEN true END,
        'replica identity', CASE WHEN x.indisreplident THEN true END,
        'partitioned index', (SELECT h.inhparent::regclass::text FROM pg_inherits AS h
            WHERE h.inhrelid = i.oid),
        'statistics target', (SELECT jsonb_object_agg(a.attnum, a.attstattarget)
            FROM pg_attribute AS a WHERE a.attrelid = i.oid AND a.attstattarget >= 0))))::text
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_class AS c ON c.oid = x.indrelid
JOIN pg_namespace AS n ON n.oid = i.relnamespace
LEFT JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
    AND d.objsubid = 0 AND d.deptype = 'e'
LEFT JOIN pg_extension AS e ON e.oid = d.refobjid
WHERE c.oid >= 16384 AND n.nspname !~ '^pg_(temp|toast)'
