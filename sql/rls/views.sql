-- $1 role, $2 schemas, $3 type of account ids. Views that the role may read, with the columns that
-- can hold a user id.
SELECT format('%I.%I', n.nspname, c.relname), c.relkind::text,
    array_agg(quote_ident(a.attname) ORDER BY a.attnum)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    AND a.atttypid = $3 AND has_column_privilege($1, c.oid, a.attnum, 'SELECT')
WHERE c.relkind IN ('v', 'm') AND n.oid = ANY ($2) AND has_schema_privilege($1, n.oid, 'USAGE')
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass
        AND d.objid = c.oid AND d.deptype = 'e')
GROUP BY n.nspname, c.relname, c.relkind
ORDER BY 1
