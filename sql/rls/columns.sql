-- $1 a table. All its columns in order: number, quoted name, type as SQL writes it, its oid (NULL
-- for a dropped column), whether it is NOT NULL, the default expression, and whether the
-- server generates its value.
SELECT a.attnum, quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
    CASE WHEN NOT a.attisdropped THEN a.atttypid END, a.attnotnull,
    CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
    a.attgenerated <> '' OR a.attidentity <> ''
FROM pg_attribute AS a
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1 AND a.attnum > 0
ORDER BY a.attnum
