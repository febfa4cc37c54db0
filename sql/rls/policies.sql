-- $1 tables, or NULL for all except members of extensions. Each policy with its expressions as
-- pg_node_tree and its roles (0 is PUBLIC).
SELECT p.oid, p.polrelid, p.polname::text, p.polcmd::text, p.polpermissive, p.polroles,
    p.polqual::text, p.polwithcheck::text
FROM pg_policy AS p
WHERE CASE
    WHEN $1 IS NOT NULL THEN p.polrelid = ANY ($1)
    ELSE NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = p.polrelid AND d.objsubid = 0
            AND d.deptype = 'e'
    )
END
ORDER BY p.polrelid, p.polname
