-- Effect of deleting a user on the rows of that user. Without an action the deletion fails while
-- rows remain; with SET NULL or SET DEFAULT the rows stay without an owner. The law and the
-- application decide which is right.
WITH
users AS (
    SELECT u.oid
    FROM unnest($3) AS u (oid)
    UNION
    -- Profiles: tables whose primary key is the id of the user.
    SELECT k.conrelid
    FROM pg_constraint AS k
    JOIN pg_constraint AS p ON p.conrelid = k.conrelid AND p.contype = 'p' AND p.conkey = k.conkey
    WHERE k.contype = 'f' AND k.confrelid = ANY ($3)
)
SELECT
    'INFO' AS severity, 'PROVED' AS confidence,
    format('foreign key "%s" on %s', replace(k.conname, '"', '""'), k.conrelid::regclass) AS object,
    'pg_constraint'::regclass::oid AS classid, k.oid AS objid, k.conrelid AS relation,
    CASE
        WHEN k.confdeltype IN ('a', 'r')
            THEN format('Rows of %s prevent the deletion of their user.', k.conrelid::regclass)
        ELSE
            format('When a user is deleted, the rows of %s stay without an owner.',
                k.conrelid::regclass)
    END AS detail,
    pg_get_constraintdef(k.oid) AS evidence, NULL::text AS remediation, NULL::text AS cache_key
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid IN (SELECT u.oid FROM users AS u)
    AND k.confdeltype IN ('a', 'r', 'n', 'd')
    -- Tables of the authentication service itself are left out.
    AND c.relnamespace <> ALL (SELECT a.relnamespace FROM pg_class AS a WHERE a.oid = ANY ($3))
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
ORDER BY k.confdeltype IN ('n', 'd'), object
LIMIT 200
