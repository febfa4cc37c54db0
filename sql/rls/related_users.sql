-- $1 where the row lies, as text: whose the row is that it refers to. @table@, @column@, @parent@, @key@ and @owner@ are names.
SELECT p.@owner@::text
FROM @table@ AS t
JOIN @parent@ AS p ON p.@key@ = t.@column@
WHERE t.ctid = $1::tid AND p.@owner@ IS NOT NULL
LIMIT 20
