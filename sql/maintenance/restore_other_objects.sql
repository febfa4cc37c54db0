-- Statistics objects, foreign servers, collations and the rarer kinds, whose identity says it all.
SELECT jsonb_build_object('kind', 'statistics object',
    'name', format('%I.%I', n.nspname, s.stxname), 'parent', s.stxrelid::regclass::text,
    'definition', jsonb_strip_nulls(jsonb_build_object('owner', pg_get_userbyid(s.stxowner),
        'definition', pg_get_statisticsobjdef(s.oid),
        'statistics target', nullif(s.stxstattarget, -1))))::text
FROM pg_statistic_ext AS s
JOIN pg_namespace AS n ON n.oid = s.stxnamespace
WHERE n.nspname !~ '^pg_(temp|toast)'
UNION ALL
SELECT jsonb_strip_nulls(jsonb_build_object('kind', 'foreign-data wrapper',
    'name', quote_ident(w.fdwname), 'extension', e.extname,
    'definition', jsonb_build_object('owner', pg_get_userbyid(w.fdwowner),
        'functions', ARRAY[w.fdwhandler, w.fdwvalidator]::regproc[]::text,
        'options', (SELECT jsonb_agg(o.option_name ORDER BY o.option_name COLLATE "C")
            FROM pg_options_to_table(w.fdwoptions) AS o))))::text
FROM pg_foreign_data_wrapper AS w
LEFT JOIN pg_depend AS x ON x.classid = 'pg_foreign_data_wrapper'::regclass AND x.objid = w.oid
    AND x.objsubid = 0 AND x.deptype = 'e'
LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
UNION ALL
SELECT jsonb_build_object('kind', 'server', 'name', quote_ident(s.srvname),
    'definition', jsonb_strip_nulls(jsonb_build_object('owner', pg_get_userbyid(s.srvowner),
        'wrapper', w.fdwname, 'type', s.srvtype, 'version', s.srvversion,
        'options', (SELECT jsonb_object_agg(o.option_name,
                CASE WHEN o.option_name ~* 'pass|secret|token|key' THEN '' ELSE o.option_value END)
            FROM pg_options_to_table(s.srvoptions) AS o))))::text
FROM pg_foreign_server AS s
JOIN pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw
UNION ALL
-- Options of user mappings hold passwords, and only some roles see them.
SELECT jsonb_build_object('kind', 'user mapping', 'name', format('of %s on server %I',
        CASE m.umuser WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(m.umuser)) END,
        m.srvname), 'parent', quote_ident(m.srvname), 'definition', '{}'::jsonb)::text
FROM pg_user_mappings AS m
UNION ALL
-- The columns of pg_collation depend on the version.
SELECT jsonb_strip_nulls(jsonb_build_object('kind', 'collation',
    'name', format('%I.%I', n.nspname, c.collname), 'parent', quote_ident(n.nspname),
    'extension', e.extname,
    'definition', to_jsonb(c)
        - '{oid,collname,collnamespace,collowner,collversion,collencoding}'::text[]
        || jsonb_build_object('owner', pg_get_userbyid(c.collowner))))::text
FROM pg_collation AS c
JOIN pg_namespace AS n ON n.oid = c.collnamespace
LEFT JOIN pg_depend AS x ON x.classid = 'pg_collation'::regclass AND x.objid = c.oid
    AND x.objsubid = 0 AND x.deptype = 'e'
LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
WHERE c.oid >= 16384 AND n.nspname !~ '^pg_(temp|toast)'
UNION ALL
SELECT jsonb_strip_nulls(jsonb_build_object('kind', i.type, 'name', i.identity,
    'parent', quote_ident(i.schema), 'extension', e.extname, 'definition', '{}'::jsonb))::text
FROM (
    SELECT 'pg_cast'::regclass AS class, oid FROM pg_cast
    UNION ALL SELECT 'pg_operator'::regclass, oid FROM pg_operator
    UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass
    UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
    UNION ALL SELECT 'pg_amop'::regclass, oid FROM pg_amop
    UNION ALL SELECT 'pg_amproc'::regclass, oid FROM pg_amproc
    UNION ALL SELECT 'pg_conversion'::regclass, oid FROM pg_conversion
    UNION ALL SELECT 'pg_language'::regclass, oid FROM pg_language
    UNION ALL SELECT 'pg_am'::regclass, oid FROM pg_am
    UNION ALL SELECT 'pg_transform'::regclass, oid FROM pg_transform
    UNION ALL SELECT 'pg_ts_config'::regclass, oid FROM pg_ts_config
    UNION ALL SELECT 'pg_ts_dict'::regclass, oid FROM pg_ts_dict
    UNION ALL SELECT 'pg_ts_parser'::regclass, oid FROM pg_ts_parser
    UNION ALL SELECT 'pg_ts_template'::regclass, oid FROM pg_ts_template
) AS o
CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) AS i
-- Entries of an operator family depend on it, and not on its extension.
LEFT JOIN pg_amop AS f ON o.class = 'pg_amop'::regclass AND f.oid = o.oid
LEFT JOIN pg_amproc AS p ON o.class = 'pg_amproc'::regclass AND p.oid = o.oid
CROSS JOIN LATERAL (SELECT coalesce(f.amopfamily, p.amprocfamily) AS oid) AS family
LEFT JOIN pg_depend AS x ON x.objsubid = 0 AND x.deptype = 'e'
    AND x.classid = CASE WHEN family.oid IS NULL THEN o.class ELSE 'pg_opfamily'::regclass END
    AND x.objid = coalesce(family.oid, o.oid)
LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
WHERE o.oid >= 16384 AND i.identity IS NOT NULL
