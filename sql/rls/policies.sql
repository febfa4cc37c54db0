-- $1 tables or NULL for all, $2 whether with SQL, which takes locks on them: every policy, its clauses as the server keeps them and as SQL, and the roles it is for (0 is everybody). Extensions' own
-- tables are theirs.
SELECT p.oid, p.polrelid, p.polname::text, p.polcmd::text, p.polpermissive, p.polroles, p.polqual::text, p.polwithcheck::text,
    CASE WHEN $2 THEN pg_get_expr(p.polqual, p.polrelid) END, CASE WHEN $2 THEN pg_get_expr(p.polwithcheck, p.polrelid) END
FROM pg_policy AS p
WHERE CASE
    WHEN $1 IS NOT NULL THEN p.polrelid = ANY ($1)
    ELSE NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = p.polrelid AND d.objsubid = 0 AND d.deptype = 'e'
    )
END
ORDER BY p.polrelid, p.polname
