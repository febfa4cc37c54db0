-- $1 table or partition, $2 address, $3 owner; NULL is any. Counts rows of a table that the caller
-- may read, up to 1000. @table@ and @column@ are names.
SELECT pg_catalog.count(*)
FROM (
    SELECT
    FROM @table@ AS t
    WHERE ($1 IS NULL OR t.tableoid OPERATOR(pg_catalog.=) $1
        AND t.ctid OPERATOR(pg_catalog.=) $2::pg_catalog.tid)
        AND ($3 IS NULL OR t.@column@::pg_catalog.text OPERATOR(pg_catalog.=) $3)
    LIMIT 1000
) AS s
