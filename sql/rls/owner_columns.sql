-- $1 tables of accounts, $2 and $3 columns that policies compare with who asks (tables and numbers): the columns that say whose a row is.
-- By foreign key, through tables that have an account's key as their own; by a policy; and where neither tells, by name and type.
WITH RECURSIVE
domains AS (
    SELECT t.oid, t.typbasetype AS base FROM pg_type AS t WHERE t.typtype = 'd'
    UNION ALL
    SELECT d.oid, t.typbasetype FROM domains AS d JOIN pg_type AS t ON t.oid = d.base AND t.typtype = 'd'
),
-- What the values of a domain are.
bases AS (
    SELECT d.oid, d.base FROM domains AS d JOIN pg_type AS t ON t.oid = d.base AND t.typtype <> 'd'
),
-- Types of the server's own, and texts of extensions, as citext is: nobody else's code is run to compare them.
comparable AS (
    SELECT t.oid
    FROM pg_type AS t
    WHERE t.oid < 16384 OR t.typcategory = 'S' AND t.typtype = 'b'
        AND EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
),
accounts AS (
    SELECT k.conrelid AS relid, k.conkey[1] AS attnum, coalesce(b.base, a.atttypid) AS atttypid
    FROM pg_constraint AS k
    JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
    LEFT JOIN bases AS b ON b.oid = a.atttypid
    WHERE k.conrelid = ANY ($1) AND k.contype = 'p' AND cardinality(k.conkey) = 1
),
keys AS (
    SELECT a.relid, a.attnum FROM accounts AS a
    UNION
    SELECT f.conrelid, f.conkey[1]
    FROM keys AS k
    JOIN pg_constraint AS f ON f.confrelid = k.relid AND f.contype = 'f' AND f.confkey = ARRAY[k.attnum] AND f.conparentid = 0
    JOIN pg_constraint AS p ON p.conrelid = f.conrelid AND p.contype = 'p' AND p.conkey = f.conkey
),
foreign_keys AS (
    SELECT k.relid, k.attnum FROM keys AS k
    UNION
    SELECT f.conrelid, f.conkey[1]
    FROM keys AS k
    JOIN pg_constraint AS f ON f.confrelid = k.relid AND f.contype = 'f' AND f.confkey = ARRAY[k.attnum]
),
compared AS (
    SELECT c.relid, c.attnum
    FROM unnest($2, $3) AS c (relid, attnum)
    JOIN pg_attribute AS a ON a.attrelid = c.relid AND a.attnum = c.attnum
    LEFT JOIN bases AS b ON b.oid = a.atttypid
    JOIN pg_type AS t ON t.oid = coalesce(b.base, a.atttypid)
    -- A list of people, or the team that a claim names, is nobody's id.
    WHERE NOT EXISTS (SELECT FROM accounts) OR t.typcategory = 'S' OR t.oid IN (SELECT k.atttypid FROM accounts AS k)
),
known AS (
    SELECT f.relid, f.attnum, 'foreign key' AS basis FROM foreign_keys AS f
    UNION ALL
    SELECT c.relid, c.attnum, 'policy' FROM compared AS c
    WHERE NOT EXISTS (SELECT FROM foreign_keys AS f WHERE f.relid = c.relid AND f.attnum = c.attnum)
),
named AS (
    SELECT DISTINCT ON (a.attrelid) a.attrelid AS relid, a.attnum, 'name' AS basis
    FROM pg_attribute AS a
    JOIN pg_class AS t ON t.oid = a.attrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    JOIN unnest(ARRAY['user_id', 'owner_id', 'owner', 'author_id', 'profile_id', 'created_by', 'account_id', 'member_id', 'customer_id'])
        WITH ORDINALITY AS w (name, place) ON w.name = a.attname
    LEFT JOIN bases AS b ON b.oid = a.atttypid
    WHERE t.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND NOT a.attisdropped
        AND coalesce(b.base, a.atttypid) IN (SELECT k.atttypid FROM accounts AS k UNION ALL SELECT 'uuid'::regtype)
        AND NOT EXISTS (SELECT FROM known AS k WHERE k.relid = a.attrelid)
        -- What references something else is somebody else's key.
        AND NOT EXISTS (SELECT FROM pg_constraint AS f WHERE f.conrelid = a.attrelid AND f.contype = 'f' AND a.attnum = ANY (f.conkey))
    ORDER BY a.attrelid, w.place
)
SELECT o.relid, o.attnum, o.basis, a.attname::text, t.oid
FROM (SELECT k.relid, k.attnum, k.basis FROM known AS k UNION ALL SELECT n.relid, n.attnum, n.basis FROM named AS n) AS o
JOIN pg_attribute AS a ON a.attrelid = o.relid AND a.attnum = o.attnum
LEFT JOIN bases AS b ON b.oid = a.atttypid
JOIN comparable AS t ON t.oid = coalesce(b.base, a.atttypid)
ORDER BY o.relid, o.attnum
