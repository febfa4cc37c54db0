-- Statements that read contents: one for each table with rows of its own and each sequence. `sql`
-- reads all rows, `dump_sql` those that pg_dump takes. In tables of an extension these are the rows
-- that the extension names. Columns go by their names, because a child by INHERITS may get them in
-- another order.
--
-- The hash of each column is the seed of the next one, so that a value belongs to its row and its
-- column. The text of a whole row would take some times as long, because it is quoted. Types of
-- users and very many columns, which would nest too deep, take that way. NULL changes the seed.
WITH member AS (
    SELECT x.objid AS relation, e.oid AS extension, e.extname, position.n,
        position.n IS NOT NULL AS is_dumped, e.extcondition[position.n] AS condition
    FROM pg_depend AS x
    JOIN pg_extension AS e ON e.oid = x.refobjid
    LEFT JOIN LATERAL (SELECT array_position(e.extconfig, x.objid) AS n) AS position ON true
    WHERE x.classid = 'pg_class'::regclass AND x.objsubid = 0 AND x.deptype = 'e'
        AND x.refclassid = 'pg_extension'::regclass
), relation AS (
    SELECT c.oid, c.relkind, c.relpersistence, format('%I.%I', n.nspname, c.relname) AS name,
        m.extname, m.extname IS NULL OR m.is_dumped AS is_dumped,
        coalesce(' ' || nullif(m.condition, ''), '') AS condition,
        l.hash, l.dump_hash,
        -- The columns that a sequence feeds, each with its extreme value.
        coalesce((SELECT format(', ''extremes'', pg_catalog.jsonb_build_object(%s)', string_agg(
                format('%L, %s(t.%I)::pg_catalog.text', s.seqrelid::regclass,
                    CASE WHEN s.seqincrement > 0 THEN 'pg_catalog.max' ELSE 'pg_catalog.min' END,
                    a.attname), ', '))
            FROM pg_depend AS d
            JOIN pg_sequence AS s ON s.seqrelid = d.objid
            JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                AND d.refobjid = c.oid AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
                AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)), '')
            AS extremes
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN member AS m ON m.relation = c.oid
    CROSS JOIN LATERAL (
        SELECT CASE WHEN count(*) > 60 THEN format(w.whole, string_agg(l.item, ', '
                    ORDER BY l.item COLLATE "C"))
                ELSE concat(string_agg(l.head, '' ORDER BY l.item COLLATE "C" DESC), '0',
                    string_agg(l.tail, '' ORDER BY l.item COLLATE "C")) END AS hash,
            CASE WHEN count(*) > 60 THEN format(w.whole, string_agg(l.item, ', '
                    ORDER BY l.item COLLATE "C") FILTER (WHERE l.is_dumped))
                ELSE concat(string_agg(l.head, '' ORDER BY l.item COLLATE "C" DESC)
                        FILTER (WHERE l.is_dumped), '0',
                    string_agg(l.tail, '' ORDER BY l.item COLLATE "C")
                        FILTER (WHERE l.is_dumped)) END AS dump_hash
        FROM (VALUES ('pg_catalog.hashtextextended(ROW(%s)::pg_catalog.text COLLATE '
            'pg_catalog."C", 0)')) AS w (whole)
        LEFT JOIN (SELECT format('t.%I', a.attname) AS item,
                format('pg_catalog.hashtextextended(%s COLLATE pg_catalog."C", ',
                    CASE WHEN i.is_plain
                    THEN format('coalesce(t.%I::pg_catalog.text, %L)', a.attname, '')
                    ELSE format('ROW(t.%I)::pg_catalog.text', a.attname) END) AS head,
                CASE WHEN i.is_plain THEN format(' # (t.%I IS NULL)::pg_catalog.int4'
                    '::pg_catalog.int8)', a.attname) ELSE ')' END AS tail,
                -- A trigger gives a restored event the number of the restoring transaction.
                NOT (a.attname = 'tx' AND EXISTS (
                    SELECT FROM pg_partition_ancestors(c.oid) AS p (relid)
                    JOIN member AS o ON o.relation = p.relid
                    WHERE o.extname = 'crewsnow_ops')) AS is_dumped
            FROM pg_attribute AS a
            JOIN pg_type AS y ON y.oid = a.atttypid
            -- A cast of such a type is none of users. The one of bpchar drops blanks.
            CROSS JOIN LATERAL (SELECT y.oid < 16384 AND y.typtype = 'b'
                AND y.oid <> 'bpchar'::regtype AS is_plain) AS i
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS l ON true
        GROUP BY w.whole
    ) AS l
    WHERE c.oid >= 16384 AND c.relkind IN ('r', 'S') AND n.nspname !~ '^pg_(temp|toast)'
), statement AS (
    SELECT r.*, CASE r.relkind
        WHEN 'S' THEN format($sql$SELECT pg_catalog.jsonb_build_object('kind', 'sequence value',
            'name', %L, 'parent', %L, 'definition', pg_catalog.jsonb_build_object(
            'value', last_value::pg_catalog.text, 'is called', is_called))::pg_catalog.text
            FROM %s$sql$, r.name, r.name, r.name)
        ELSE format($sql$SELECT pg_catalog.jsonb_build_object('kind', 'content', 'name', %L,
            'parent', %L, 'rows', pg_catalog.count(*), 'hash', coalesce(pg_catalog.sum(
            %s), 0)::pg_catalog.text%s)::pg_catalog.text FROM ONLY %s AS t%s$sql$,
            r.name, r.name, c.hash, r.extremes, r.name, c.condition)
        END AS sql, c.scope
    FROM relation AS r
    CROSS JOIN LATERAL (VALUES ('sql', r.hash, ''),
        ('dump_sql', r.dump_hash, r.condition)) AS c (scope, hash, condition)
    WHERE c.scope = 'sql' OR r.is_dumped
)
SELECT jsonb_strip_nulls(jsonb_build_object('name', s.name, 'extension', min(s.extname),
    'kind', CASE min(s.relkind) WHEN 'S' THEN 'sequence value' ELSE 'content' END,
    'is_unlogged', bool_or(s.relpersistence = 'u'),
    'sql', min(s.sql) FILTER (WHERE s.scope = 'sql'),
    'dump_sql', min(s.sql) FILTER (WHERE s.scope = 'dump_sql')))::text
FROM statement AS s
GROUP BY s.name
UNION ALL
-- Pages of zeros and missing pages read the same, and restoring writes the zeros.
SELECT jsonb_build_object('kind', 'content', 'name', 'large objects', 'sql', o.sql,
    'dump_sql', o.sql)::text
FROM (SELECT $sql$SELECT pg_catalog.jsonb_build_object('kind', 'content',
    'name', 'large objects', 'rows', (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata),
    'hash', pg_catalog.concat_ws(' ',
        (SELECT sum(pg_catalog.hashtextextended(pg_catalog.format('%s %s %s', m.oid,
            pg_catalog.pg_get_userbyid(m.lomowner), (SELECT pg_catalog.string_agg(g.privilege, ' '
                    ORDER BY g.privilege COLLATE "C")
                FROM (SELECT pg_catalog.format('%s %s %s', CASE a.grantee WHEN 0 THEN 'PUBLIC'
                        ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END,
                        a.privilege_type, a.is_grantable) AS privilege
                    FROM pg_catalog.aclexplode(coalesce(m.lomacl,
                        pg_catalog.acldefault('L', m.lomowner))) AS a) AS g)), 0))
        FROM pg_catalog.pg_largeobject_metadata AS m),
        (SELECT sum(pg_catalog.hashtextextended(pg_catalog.format('%s %s %s', p.loid, p.pageno,
            pg_catalog.encode(pg_catalog.rtrim(p.data, '\x00'), 'hex')), 0))
        FROM pg_catalog.pg_largeobject AS p WHERE pg_catalog.rtrim(p.data, '\x00') <> ''),
        (SELECT sum(pg_catalog.hashtextextended(pg_catalog.format('%s %s', s.loid, s.size), 0))
        FROM (SELECT loid, max(pageno * 2048::bigint + length(data)) AS size
            FROM pg_catalog.pg_largeobject GROUP BY loid) AS s))
    )::pg_catalog.text$sql$) AS o (sql)
