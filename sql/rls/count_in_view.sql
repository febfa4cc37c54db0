-- $1 a user: rows of a view that are about them, counted up to a thousand. @view@ and @column@ are names.
SELECT pg_catalog.count(*) FROM (SELECT FROM @view@ AS v WHERE v.@column@ OPERATOR(pg_catalog.=) $1 LIMIT 1000) AS s
