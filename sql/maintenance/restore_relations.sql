-- Tables, views and composite types, each with its columns. User objects have oids from 16384.
SELECT jsonb_strip_nulls(jsonb_build_object(
    'kind', CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table'
        WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
        WHEN 'c' THEN 'composite type' END,
    'name', format('%I.%I', n.nspname, c.relname),
    'parent', quote_ident(n.nspname),
    'extension', e.extname,
    'definition', jsonb_build_object(
        'owner', pg_get_userbyid(c.relowner),
        'persistence', c.relpersistence,
        'access method', m.amname,
        'row security', CASE WHEN c.relkind IN ('r', 'p') THEN
            CASE WHEN c.relrowsecurity THEN 'enabled' ELSE 'disabled' END
                || CASE WHEN c.relforcerowsecurity THEN ', forced' ELSE '' END END,
        'replica identity', CASE WHEN c.relkind IN ('r', 'p') THEN c.relreplident END,
        'populated', CASE WHEN c.relkind = 'm' THEN c.relispopulated END,
        'query', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
        'parameters', (SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM unnest(c.reloptions) AS o),
        'TOAST parameters', (SELECT jsonb_agg(o ORDER BY o COLLATE "C")
            FROM pg_class AS toast, unnest(toast.reloptions) AS o
            WHERE toast.oid = c.reltoastrelid),
        'partition key', CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
        'partition bound', pg_get_expr(c.relpartbound, c.oid),
        'parents', (SELECT jsonb_agg(i.inhparent::regclass::text
                ORDER BY i.inhparent::regclass::text COLLATE "C")
            FROM pg_inherits AS i WHERE i.inhrelid = c.oid),
        'row type', CASE WHEN c.reloftype <> 0 THEN c.reloftype::regtype::text END,
        'server', s.srvname,
        'options', (SELECT jsonb_object_agg(o.option_name,
                CASE WHEN o.option_name ~* 'pass|secret|token|key' THEN '' ELSE o.option_value END)
            FROM pg_options_to_table(f.ftoptions) AS o),
        -- Constraints keep their names when their triggers are disabled.
        'disabled foreign key triggers', (SELECT nullif(count(*), 0) FROM pg_trigger AS t
            WHERE t.tgrelid = c.oid AND t.tgisinternal AND t.tgenabled <> 'O'),
        -- Children by INHERITS get the columns of their parents first when a dump is restored.
        'order of columns', CASE WHEN c.relispartition OR NOT EXISTS (SELECT FROM pg_inherits AS i
                WHERE i.inhrelid = c.oid) THEN (SELECT jsonb_agg(a.attname ORDER BY a.attnum)
            FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) END,
        'column', (SELECT jsonb_object_agg(a.attname, jsonb_strip_nulls(jsonb_build_object(
                'type', format_type(a.atttypid, a.atttypmod),
                'collation', CASE WHEN a.attcollation <> t.typcollation
                    THEN a.attcollation::regcollation::text END,
                'NOT NULL', CASE WHEN a.attnotnull THEN true END,
                'default', pg_get_expr(d.adbin, d.adrelid),
                'identity', nullif(a.attidentity, ''),
                'generated', nullif(a.attgenerated, ''),
                'storage', CASE WHEN c.relkind IN ('r', 'p', 'm')
                    AND (a.attinhcount = 0 OR c.relispartition) THEN a.attstorage END,
                'compression', CASE WHEN a.attinhcount = 0 OR c.relispartition
                    THEN nullif(a.attcompression, '') END,
                'statistics target', nullif(a.attstattarget, -1),
                'parameters', (SELECT jsonb_agg(o ORDER BY o COLLATE "C")
                    FROM unnest(a.attoptions) AS o WHERE o LIKE 'n\_distinct%'),
                'options', (SELECT jsonb_agg(o.option_name ORDER BY o.option_name COLLATE "C")
                    FROM pg_options_to_table(a.attfdwoptions) AS o))))
            FROM pg_attribute AS a
            JOIN pg_type AS t ON t.oid = a.atttypid
            LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))))::text
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_am AS m ON m.oid = c.relam
LEFT JOIN pg_foreign_table AS f ON f.ftrelid = c.oid
LEFT JOIN pg_foreign_server AS s ON s.oid = f.ftserver
-- A composite type of an extension is a member as a type.
LEFT JOIN pg_depend AS x ON x.objsubid = 0 AND x.deptype = 'e'
    AND x.classid = (CASE c.relkind WHEN 'c' THEN 'pg_type' ELSE 'pg_class' END)::regclass
    AND x.objid = CASE c.relkind WHEN 'c' THEN c.reltype ELSE c.oid END
LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
    AND n.nspname !~ '^pg_(temp|toast)'
