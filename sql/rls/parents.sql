-- $1 a table: the tables that it refers to by one column, and that column's type.
SELECT f.confrelid, quote_ident(a.attname), format('%I.%I', n.nspname, c.relname),
    quote_ident(k.attname), a.atttypid
FROM pg_constraint AS f
JOIN pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1]
JOIN pg_attribute AS k ON k.attrelid = f.confrelid AND k.attnum = f.confkey[1]
JOIN pg_class AS c ON c.oid = f.confrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE f.conrelid = $1 AND f.contype = 'f' AND cardinality(f.conkey) = 1 AND a.atttypid < 16384
    AND k.atttypid < 16384
ORDER BY f.oid
