-- $1 user id. Counts the rows of a view about the user, up to 1000. @view@ and @column@ are names.
SELECT pg_catalog.count(*)
    FROM (SELECT FROM @view@ AS v WHERE v.@column@ OPERATOR(pg_catalog.=) $1 LIMIT 1000) AS s
