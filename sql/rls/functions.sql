-- $1 role, $2 schemas, $3 type of account ids, $4 identity functions. Functions that the role may
-- call with a user id alone and that are not VOLATILE, each as a callable name and a signature.
SELECT format('%I.%I', n.nspname, p.proname), p.oid::regprocedure::text
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.oid = ANY ($2) AND p.prokind = 'f' AND p.provolatile IN ('i', 's')
    AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
    AND p.pronargs >= 1 AND p.proargtypes[0] = $3 AND p.pronargs - p.pronargdefaults <= 1
        AND p.oid <> ALL ($4)
    AND has_schema_privilege($1, n.oid, 'USAGE') AND has_function_privilege($1, p.oid, 'EXECUTE')
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass
        AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY 1
