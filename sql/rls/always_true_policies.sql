-- The permissive policies for writing that have no condition, with the cache_key of splinter's lint
-- 0024. The conditions are those of the lint, so that its finding and the audit's can be matched.
SELECT p.oid, p.polrelid,
    format('rls_policy_always_true_%s_%s_%s', n.nspname, c.relname, p.polname) AS cache_key
FROM pg_policy AS p
JOIN pg_class AS c ON c.oid = p.polrelid AND c.relkind = 'r' AND c.relrowsecurity
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT
        regexp_replace(lower(pg_get_expr(p.polqual, p.polrelid)), '\s', '', 'g')
            = ANY ('{true,(true),1=1,(1=1)}') AS using_is_true,
        regexp_replace(lower(pg_get_expr(p.polwithcheck, p.polrelid)), '\s', '', 'g')
            = ANY ('{true,(true),1=1,(1=1)}') AS check_is_true
) AS e
WHERE p.polpermissive
    AND (
        p.polroles = '{0}'
            OR EXISTS (
                SELECT FROM pg_roles AS r
                WHERE r.oid = ANY (p.polroles) AND r.rolname IN ('anon', 'authenticated')
            )
    )
    AND (
        p.polcmd IN ('w', 'd', '*') AND coalesce(e.using_is_true, true)
            OR coalesce(e.check_is_true, p.polcmd = 'a')
    )
ORDER BY p.oid
