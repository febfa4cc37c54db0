-- $1 a user: rows of a view that are about them, counted up to a thousand. @view@ and @column@ are names.
SELECT count(*) FROM (SELECT FROM @view@ AS v WHERE v.@column@ = $1 LIMIT 1000) AS s
