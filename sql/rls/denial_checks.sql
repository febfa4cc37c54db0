-- $1 a table. Its CHECK constraints: name, and the condition as pg_node_tree.
SELECT quote_ident(c.conname), c.conbin::text
FROM pg_constraint AS c
WHERE c.conrelid = $1 AND c.contype = 'c'
ORDER BY c.conname
