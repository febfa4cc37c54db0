-- $1 tables, $2 columns that hold user ids. Membership tables: a unique index on a user and a key
-- of another table. Returns table, user column and type, team column and type, the oids of the
-- table and of the table of teams. One join of all relations would take longer to plan than to run.
WITH users AS MATERIALIZED (
    SELECT u.relation, u.number FROM unnest($1::oid[], $2::int2[]) AS u (relation, number)
),
pairs AS MATERIALIZED (
    SELECT u.relation, u.number, k.number AS other
    FROM users AS u
    JOIN pg_index AS i ON i.indrelid = u.relation AND i.indisunique AND i.indisvalid
        AND i.indnkeyatts = 2 AND i.indpred IS NULL AND i.indexprs IS NULL
    CROSS JOIN LATERAL (VALUES (i.indkey[0]), (i.indkey[1])) AS k (number)
    WHERE u.number IN (i.indkey[0], i.indkey[1]) AND k.number <> u.number
),
members AS MATERIALIZED (
    SELECT p.relation, p.number, p.other, f.confrelid
    FROM pairs AS p
    JOIN pg_constraint AS f ON f.contype = 'f' AND f.conrelid = p.relation
        AND f.conkey = ARRAY[p.other]
    WHERE NOT EXISTS (
        SELECT FROM users AS o WHERE o.relation = p.relation AND o.number = p.other
    )
)
SELECT DISTINCT
    format('%I.%I', n.nspname, c.relname), quote_ident(a.attname), a.atttypid,
        quote_ident(t.attname), t.atttypid, m.relation, m.confrelid
FROM members AS m
JOIN pg_class AS c ON c.oid = m.relation
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = m.relation AND a.attnum = m.number
JOIN pg_attribute AS t ON t.attrelid = m.relation AND t.attnum = m.other
ORDER BY 1, 2, 4
LIMIT 5
