-- $1 tables, $2 columns that hold user ids. Membership tables: a unique index on a user and a key
-- of another table. Returns table, user column and type, team column and type, the oids of the
-- table and of the table of teams.
WITH users AS (
    SELECT u.relation, u.number FROM unnest($1::oid[], $2::int2[]) AS u (relation, number)
)
SELECT DISTINCT
    format('%I.%I', n.nspname, c.relname), quote_ident(a.attname), a.atttypid,
        quote_ident(t.attname), t.atttypid, u.relation, f.confrelid
FROM users AS u
JOIN pg_index AS i ON i.indrelid = u.relation AND i.indisunique AND i.indisvalid
    AND i.indnkeyatts = 2 AND i.indpred IS NULL AND i.indexprs IS NULL
JOIN pg_class AS c ON c.oid = u.relation
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = u.relation AND a.attnum = u.number
JOIN pg_attribute AS t ON t.attrelid = u.relation AND t.attnum IN (i.indkey[0], i.indkey[1])
    AND t.attnum <> u.number
JOIN pg_constraint AS f ON f.contype = 'f' AND f.conrelid = u.relation
    AND f.conkey = ARRAY[t.attnum]
WHERE u.number IN (i.indkey[0], i.indkey[1])
    AND NOT EXISTS (SELECT FROM users AS o WHERE o.relation = u.relation AND o.number = t.attnum)
ORDER BY 1, 2, 4
LIMIT 5
