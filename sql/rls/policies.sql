-- $1 tables or NULL for all: every policy, its clauses as the server keeps them, and the roles it is for (0 is everybody). Extensions' own
-- tables are theirs.
SELECT p.oid, p.polrelid, p.polname::text, p.polcmd::text, p.polpermissive, p.polroles, p.polqual::text, p.polwithcheck::text
FROM pg_policy AS p
WHERE CASE
    WHEN $1 IS NOT NULL THEN p.polrelid = ANY ($1)
    ELSE NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = p.polrelid AND d.objsubid = 0 AND d.deptype = 'e'
    )
END
ORDER BY p.polrelid, p.polname
