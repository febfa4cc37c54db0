-- $1 oid: a table, $2 text: its time column. The tables that hold its rows; whether a B-tree on
-- the column finds them in order, and how many rows a block has.
WITH RECURSIVE tree AS (
    SELECT $1 AS oid
    UNION
    SELECT i.inhrelid FROM pg_inherits AS i JOIN tree AS t ON t.oid = i.inhparent
)
SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind::text,
    EXISTS (SELECT FROM pg_index AS i
        JOIN pg_class AS x ON x.oid = i.indexrelid
        JOIN pg_am AS m ON m.oid = x.relam
        WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree'
            AND i.indkey[0] = a.attnum),
    pg_relation_size(c.oid) / current_setting('block_size')::bigint,
    CASE WHEN c.relpages > 0 AND c.reltuples > 0
        THEN greatest(c.reltuples / c.relpages, 1)::bigint ELSE 50 END
FROM tree AS t
JOIN pg_class AS c ON c.oid = t.oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = $2 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'f')
ORDER BY 2
