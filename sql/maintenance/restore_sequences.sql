-- Definitions. The values are read from each sequence: see restore_contents.sql.
SELECT jsonb_strip_nulls(jsonb_build_object(
    'kind', 'sequence',
    'name', format('%I.%I', n.nspname, c.relname),
    'parent', quote_ident(n.nspname),
    'extension', e.extname,
    'definition', jsonb_build_object(
        'owner', pg_get_userbyid(c.relowner),
        'persistence', c.relpersistence,
        'type', s.seqtypid::regtype::text,
        'start', s.seqstart::text, 'increment', s.seqincrement::text, 'minimum', s.seqmin::text,
        'maximum', s.seqmax::text, 'cache', s.seqcache::text, 'cycle', s.seqcycle,
        'owned by', (SELECT format('%s.%I', d.refobjid::regclass, a.attname)
            FROM pg_depend AS d
            JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
                AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
            LIMIT 1))))::text
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_sequence AS s ON s.seqrelid = c.oid
LEFT JOIN pg_depend AS x ON x.classid = 'pg_class'::regclass AND x.objid = c.oid
    AND x.objsubid = 0 AND x.deptype = 'e'
LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
WHERE c.oid >= 16384 AND n.nspname !~ '^pg_(temp|toast)'
