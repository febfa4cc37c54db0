-- $1 a table. Its foreign keys and unique constraints or indexes: name, columns, and for a foreign
-- key the referenced table and columns. Expressions and partial indexes are left out.
SELECT quote_ident(c.conname) AS name, c.conkey AS columns, c.confrelid AS referenced,
    c.confkey AS referenced_columns
FROM pg_constraint AS c
WHERE c.conrelid = $1 AND c.contype = 'f'
UNION ALL
SELECT quote_ident(i.relname), (x.indkey::int2[])[0:x.indnkeyatts - 1], NULL, NULL
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
WHERE x.indrelid = $1 AND x.indisunique AND x.indpred IS NULL AND x.indexprs IS NULL
ORDER BY 1
