-- $1 oid: a table. Its quoted name and its owner; the columns that identify a row, with types and
-- operators: the primary key, else a unique index, else table and place; whether the caller may
-- read, update and delete; a reason why rows cannot be changed safely.
SELECT format('%I.%I', n.nspname, c.relname), c.relowner,
    coalesce(i.columns, ARRAY['tableoid', 'ctid']),
    coalesce(i.types, ARRAY['pg_catalog.oid', 'pg_catalog.tid']),
    coalesce(i.operators, ARRAY['OPERATOR(pg_catalog.=)', 'OPERATOR(pg_catalog.=)']),
    has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'UPDATE'),
    has_table_privilege(c.oid, 'DELETE'),
    CASE
        WHEN c.relkind NOT IN ('r', 'p') THEN 'it is no table'
        WHEN EXISTS (
            SELECT FROM pg_rewrite AS r WHERE r.ev_class = c.oid AND r.ev_type IN ('2', '4')
        )
        THEN 'a rule replaces UPDATE or DELETE'
    END
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT k.columns, k.types, k.operators
    FROM pg_index AS i
    CROSS JOIN LATERAL (
        SELECT array_agg(quote_ident(a.attname) ORDER BY p.place) AS columns,
            array_agg(format('%I.%I', y.nspname, t.typname) ORDER BY p.place) AS types,
            array_agg(format('OPERATOR(%I.%s)', s.nspname, e.oprname) ORDER BY p.place)
                AS operators,
            bool_and(a.attnotnull) AS is_not_null
        FROM generate_series(0, i.indnkeyatts - 1) AS p (place)
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p.place]
        JOIN pg_type AS t ON t.oid = a.atttypid
        JOIN pg_namespace AS y ON y.oid = t.typnamespace
        JOIN pg_opclass AS o ON o.oid = i.indclass[p.place]
        JOIN pg_amop AS m ON m.amopfamily = o.opcfamily AND m.amopstrategy = 3
            AND m.amoplefttype = o.opcintype AND m.amoprighttype = o.opcintype
        JOIN pg_operator AS e ON e.oid = m.amopopr
        JOIN pg_namespace AS s ON s.oid = e.oprnamespace
    ) AS k
    WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
        AND i.indpred IS NULL AND i.indexprs IS NULL AND k.is_not_null
        AND cardinality(k.columns) = i.indnkeyatts
    ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid
    LIMIT 1
) AS i ON true
WHERE c.oid = $1
