-- $1 text[]: the parts of a name, schema and table; $2 text: a column. The facts that decide
-- whether a policy fits. Names are looked up without the privileges that a search needs.
SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relowner, c.relkind::text,
    c.relpersistence = 't' OR n.nspname ~ '^pg_' OR n.nspname = 'information_schema',
    EXISTS (SELECT FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e'
            AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'crewsnow_ops'
            AND d.objid IN (SELECT c.oid UNION ALL SELECT a.relid
                FROM pg_partition_ancestors(c.oid) AS a)),
    format_type(CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE y.oid END, NULL),
    coalesce(p.partstrat = 'r' AND p.partnatts = 1 AND p.partattrs[0] = a.attnum, false)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = $2 AND a.attnum > 0
    AND NOT a.attisdropped
LEFT JOIN pg_type AS y ON y.oid = a.atttypid
LEFT JOIN pg_partitioned_table AS p ON p.partrelid = c.oid
WHERE n.nspname = $1[1] AND c.relname = $1[2] AND cardinality($1) = 2
