-- $1 how many: whose some rows are. @table@ and @column@ are names.
SELECT DISTINCT s.owner
FROM (SELECT t.@column@::text AS owner FROM @table@ AS t WHERE t.@column@ IS NOT NULL LIMIT 1000) AS s
LIMIT $1
