-- $1 roles: the schemas that clients reach. Where PostgREST is told which ones it serves, those, with what else a client role may use; the
-- server's own are nobody's concern.
SELECT n.oid
FROM pg_namespace AS n
WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND EXISTS (SELECT FROM unnest($1) AS r (role) WHERE has_schema_privilege(r.role, n.oid, 'USAGE'))
    AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e'
    )
ORDER BY n.nspname
