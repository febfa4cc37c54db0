-- Every foreign key between tables of the application: child, parent, name, columns of the child,
-- columns of the parent, their types, operators parent = child, and the action of ON DELETE.
-- Partitions count as their root. Columns and names are quoted.
SELECT coalesce(pg_partition_root(c.conrelid), c.conrelid),
    coalesce(pg_partition_root(c.confrelid), c.confrelid),
    quote_ident(c.conname),
    ARRAY(
        SELECT quote_ident(a.attname)
        FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
        ORDER BY k.place
    ),
    ARRAY(
        SELECT quote_ident(a.attname)
        FROM unnest(c.confkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = k.attnum
        ORDER BY k.place
    ),
    ARRAY(
        SELECT format('%I.%I', n.nspname, t.typname)
        FROM unnest(c.confkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = k.attnum
        JOIN pg_type AS t ON t.oid = a.atttypid
        JOIN pg_namespace AS n ON n.oid = t.typnamespace
        ORDER BY k.place
    ),
    ARRAY(
        SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname)
        FROM unnest(c.conpfeqop) WITH ORDINALITY AS k (operator, place)
        JOIN pg_operator AS o ON o.oid = k.operator
        JOIN pg_namespace AS n ON n.oid = o.oprnamespace
        ORDER BY k.place
    ),
    c.confdeltype::text
FROM pg_constraint AS c
WHERE c.contype = 'f' AND c.conparentid = 0
ORDER BY 1, 3
