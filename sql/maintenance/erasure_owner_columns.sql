-- $1 type of ids, $2 pattern of names. Columns of the application's tables that look like an owner,
-- have no foreign key and could hold an id: table, quoted column, its type.
SELECT c.oid, quote_ident(a.attname), format_type(a.atttypid, a.atttypmod)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'crewsnow_ops')
    AND a.atttypid IN ($1, 'text'::regtype, 'varchar'::regtype)
    AND a.attname ~ $2
    AND NOT EXISTS (
        SELECT FROM pg_constraint AS f
        WHERE f.contype = 'f' AND f.conrelid = c.oid AND a.attnum = ANY (f.conkey)
    )
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
ORDER BY 1, a.attnum
