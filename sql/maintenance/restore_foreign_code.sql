-- Expressions that a restore or a comparison evaluates with the privileges of its own role: CHECK
-- constraints, generated columns, partition keys, casts, event triggers, and expressions of indexes
-- and statistics, which the planner simplifies. Their functions must belong to a superuser or to
-- that role. Volatile functions and those that run SQL text are refused, whoever owns them: they
-- call the functions of others. Members of extensions are trusted.
WITH expression AS (
    SELECT 'constraint' AS kind, 'pg_constraint'::regclass AS class, c.oid,
        concat_ws(' on ', quote_ident(c.conname), nullif(c.conrelid, 0)::regclass,
            nullif(c.contypid, 0)::regtype) AS name, pg_get_constraintdef(c.oid) AS text
    FROM pg_constraint AS c
    WHERE c.contype = 'c'
    UNION ALL
    SELECT 'generated column', 'pg_attrdef'::regclass, a.oid,
        concat_ws('.', a.adrelid::regclass, quote_ident(t.attname)),
        pg_get_expr(a.adbin, a.adrelid)
    FROM pg_attrdef AS a
    JOIN pg_attribute AS t ON t.attrelid = a.adrelid AND t.attnum = a.adnum
        AND t.attgenerated <> ''
    UNION ALL
    SELECT 'partition key', 'pg_class'::regclass, p.partrelid, p.partrelid::regclass::text,
        pg_get_partkeydef(p.partrelid)
    FROM pg_partitioned_table AS p
    UNION ALL
    SELECT 'index', 'pg_class'::regclass, i.indexrelid, i.indexrelid::regclass::text,
        concat_ws(' ', pg_get_expr(i.indexprs, i.indrelid), pg_get_expr(i.indpred, i.indrelid))
    FROM pg_index AS i
    WHERE i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
    UNION ALL
    SELECT 'statistics', 'pg_statistic_ext'::regclass, s.oid,
        format('%I.%I', n.nspname, s.stxname), pg_get_expr(s.stxexprs, s.stxrelid)
    FROM pg_statistic_ext AS s
    JOIN pg_namespace AS n ON n.oid = s.stxnamespace
    WHERE s.stxexprs IS NOT NULL
    UNION ALL
    SELECT 'cast', 'pg_cast'::regclass, c.oid,
        format('%s AS %s', c.castsource::regtype, c.casttarget::regtype), NULL
    FROM pg_cast AS c
    WHERE c.castfunc <> 0
    UNION ALL
    SELECT 'event trigger', 'pg_event_trigger'::regclass, e.oid, quote_ident(e.evtname), NULL
    FROM pg_event_trigger AS e
), own AS (
    SELECT e.*
    FROM expression AS e
    WHERE e.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend AS d
        WHERE d.classid = e.class AND d.objid = e.oid AND d.deptype = 'e')
), called AS (
    SELECT o.kind, o.name, f.oid AS function
    FROM own AS o
    JOIN pg_depend AS d ON d.classid = o.class AND d.objid = o.oid
    LEFT JOIN pg_operator AS p ON d.refclassid = 'pg_operator'::regclass AND p.oid = d.refobjid
    LEFT JOIN pg_proc AS f ON f.oid = p.oprcode
        OR d.refclassid = 'pg_proc'::regclass AND f.oid = d.refobjid
    WHERE f.oid IS NOT NULL
)
SELECT DISTINCT json_build_object('kind', c.kind, 'name', c.name,
    'function', f.oid::regprocedure::text, 'owner', r.rolname)::text
FROM called AS c
JOIN pg_proc AS f ON f.oid = c.function
JOIN pg_roles AS r ON r.oid = f.proowner
WHERE NOT r.rolsuper AND r.rolname <> current_user
UNION ALL
-- Built-in functions have no rows in pg_depend, so the text tells them.
SELECT DISTINCT json_build_object('kind', o.kind, 'name', o.name,
    'function', f.proname, 'owner', NULL)::text
FROM own AS o
CROSS JOIN LATERAL regexp_matches(o.text, '([a-z_][a-z_0-9]*)"?\s*\(', 'g') AS m (words)
JOIN pg_proc AS f ON f.proname = m.words[1]
    AND (f.provolatile = 'v' OR f.proname ~ '_to_xml|_xmlschema$')
    AND f.pronamespace = 'pg_catalog'::regnamespace
