-- Statements that check pages with amcheck, one for each table, TOAST table and index, the longest
-- ones first. None without amcheck. `sql` checks a restored server, catalogs included, and
-- `dump_sql` a restored dump, whose catalogs are new. `source_sql` reads the indexes of the source
-- and takes no strong lock. Each call has all arguments in their types, so that no function of the
-- same name makes it ambiguous.
WITH amcheck AS (
    SELECT quote_ident(n.nspname) AS schema, n.oid AS namespace
    FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'amcheck'
), relation AS (
    SELECT c.oid, c.relkind, m.amname, format('%I.%I', n.nspname, c.relname) AS path,
        coalesce(x.indrelid, c.oid) >= 16384 AS is_of_user,
        -- A check of an index reads its table, too.
        pg_relation_size(c.oid) + coalesce(pg_relation_size(x.indrelid), 0) AS bytes
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_am AS m ON m.oid = c.relam
    LEFT JOIN pg_index AS x ON x.indexrelid = c.oid
    WHERE c.relkind IN ('r', 'm', 't', 'i') AND c.relpersistence <> 't'
        AND (x.indexrelid IS NULL OR x.indisvalid AND x.indisready)
), statement AS (
    SELECT 'heap check' AS kind, r.path, r.is_of_user, r.bytes,
        format($sql$SELECT pg_catalog.jsonb_build_object('kind', 'heap check', 'name', %L,
            'rows', pg_catalog.count(*), 'definition', pg_catalog.jsonb_build_object('first',
            (pg_catalog.array_agg(pg_catalog.format('block %%s: %%s', v.blkno, v.msg)))[1]
            ))::pg_catalog.text
            FROM %s.verify_heapam(%s::pg_catalog.oid::pg_catalog.regclass, false, true,
                'none'::pg_catalog.text, NULL::pg_catalog.int8, NULL::pg_catalog.int8) AS v$sql$,
            r.path, a.schema, r.oid) AS whole,
        NULL AS quick, NULL AS parent
    FROM amcheck AS a CROSS JOIN relation AS r
    WHERE r.amname = 'heap' AND r.relkind IN ('r', 'm', 't')
    UNION ALL
    SELECT 'index check', r.path, r.is_of_user, r.bytes, i.head || format(
        '%s.bt_index_check(%s::pg_catalog.oid::pg_catalog.regclass, true)', a.schema, r.oid)
        || i.tail,
        i.head || format('%s.bt_index_check(%s::pg_catalog.oid::pg_catalog.regclass)',
            a.schema, r.oid) || i.tail,
        i.head || format(
            '%s.bt_index_parent_check(%s::pg_catalog.oid::pg_catalog.regclass, true)',
            a.schema, r.oid) || i.tail
    FROM amcheck AS a
    CROSS JOIN relation AS r
    CROSS JOIN LATERAL (SELECT format(
        $sql$SELECT pg_catalog.jsonb_build_object('kind', 'index check', 'name', %L, 'rows', 0,
            'definition', pg_catalog.jsonb_build_object('done', $sql$, r.path) AS head,
        '::pg_catalog.text))::pg_catalog.text' AS tail) AS i
    WHERE r.amname = 'btree' AND r.relkind = 'i'
    UNION ALL
    SELECT 'index check', r.path, r.is_of_user, r.bytes, format(
        $sql$SELECT pg_catalog.jsonb_build_object('kind', 'index check', 'name', %L, 'rows', 0,
            'definition', pg_catalog.jsonb_build_object('done', %s.gin_index_check(
            %s::pg_catalog.oid::pg_catalog.regclass)::pg_catalog.text))::pg_catalog.text$sql$,
        r.path, a.schema, r.oid), NULL, NULL
    FROM amcheck AS a
    CROSS JOIN relation AS r
    WHERE r.amname = 'gin' AND r.relkind = 'i' AND EXISTS (SELECT FROM pg_proc AS p
        WHERE p.proname = 'gin_index_check' AND p.pronamespace = a.namespace)
)
SELECT jsonb_strip_nulls(jsonb_build_object('kind', s.kind, 'name', s.path,
    'sql', coalesce(s.parent, s.whole),
    'dump_sql', CASE WHEN s.is_of_user THEN s.whole END,
    'source_sql', CASE WHEN s.is_of_user THEN s.quick END))::text
FROM statement AS s
ORDER BY s.bytes DESC, s.kind, s.path
