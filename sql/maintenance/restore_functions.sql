-- Bodies are compared by their hash: reports and manifests need no source code.
SELECT jsonb_strip_nulls(jsonb_build_object(
    'kind', CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
    'name', format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
    'parent', quote_ident(n.nspname),
    'extension', e.extname,
    'definition', jsonb_build_object(
        'owner', pg_get_userbyid(p.proowner),
        'arguments', pg_get_function_arguments(p.oid),
        'result', pg_get_function_result(p.oid),
        'language', l.lanname,
        'body', md5(p.prosrc),
        'SQL body', pg_get_function_sqlbody(p.oid),
        'library', p.probin,
        'window', CASE WHEN p.prokind = 'w' THEN true END,
        'volatility', p.provolatile,
        'parallel', p.proparallel,
        'strict', p.proisstrict,
        'SECURITY DEFINER', p.prosecdef,
        'leakproof', p.proleakproof,
        'cost', p.procost::text,
        'rows', p.prorows::text,
        'support function', CASE WHEN p.prosupport <> 0 THEN p.prosupport::regproc::text END,
        'settings', (SELECT jsonb_agg(md5(o) ORDER BY md5(o) COLLATE "C")
            FROM unnest(p.proconfig) AS o),
        'aggregate', (SELECT jsonb_build_object('kind', a.aggkind,
                'functions', ARRAY[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn,
                    a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn,
                    a.aggmfinalfn]::regproc[]::text,
                'states', ARRAY[a.aggtranstype, a.aggmtranstype]::regtype[]::text,
                'initial values', jsonb_build_array(a.agginitval, a.aggminitval))
            FROM pg_aggregate AS a WHERE a.aggfnoid = p.oid))))::text
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_language AS l ON l.oid = p.prolang
LEFT JOIN pg_depend AS x ON x.classid = 'pg_proc'::regclass AND x.objid = p.oid
    AND x.objsubid = 0 AND x.deptype = 'e'
LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
WHERE p.oid >= 16384 AND n.nspname !~ '^pg_(temp|toast)'
