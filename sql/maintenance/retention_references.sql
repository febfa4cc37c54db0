-- The foreign keys between tables: the table that refers, and the one that it refers to.
SELECT DISTINCT format('%I.%I', n.nspname, c.relname), format('%I.%I', m.nspname, o.relname)
FROM pg_constraint AS r
JOIN pg_class AS c ON c.oid = r.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS o ON o.oid = r.confrelid
JOIN pg_namespace AS m ON m.oid = o.relnamespace
WHERE r.contype = 'f' AND r.conparentid = 0 AND r.conrelid <> r.confrelid
