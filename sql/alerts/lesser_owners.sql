-- The owners that are no superusers, of the relations $1 and the functions $2
SELECT DISTINCT a.rolname::text
FROM (
    SELECT c.relowner FROM pg_class AS c WHERE c.oid = ANY ($1)
    UNION ALL
    SELECT p.proowner FROM pg_proc AS p WHERE p.oid = ANY ($2)
) AS o (owner)
JOIN pg_roles AS a ON a.oid = o.owner
WHERE NOT a.rolsuper
ORDER BY 1
