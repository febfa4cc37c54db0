-- The conditions of Supabase's lints 0003, 0006, 0007, 0008, 0010, 0011, 0013, 0024, 0028 and 0029,
-- without their exception for members of extensions where they have none.
WITH
policies AS (
    SELECT p.*, c.relname, c.relrowsecurity, pg_get_expr(p.polqual, p.polrelid) AS qual,
        pg_get_expr(p.polwithcheck, p.polrelid) AS with_check
    FROM pg_policy AS p
    JOIN pg_class AS c ON c.oid = p.polrelid
),
own AS (
    SELECT d.objid FROM pg_depend AS d WHERE d.deptype = 'e'
)
SELECT '0003 ' || relname FROM policies
WHERE relrowsecurity
    AND (qual LIKE '%current_setting(%' AND lower(qual) NOT LIKE '%select current_setting(%'
        OR qual LIKE '%auth.uid()%' AND lower(qual) NOT LIKE '%select auth.uid()%'
        OR with_check LIKE '%current_setting(%'
            AND lower(with_check) NOT LIKE '%select current_setting(%')
UNION ALL
SELECT '0006 ' || p.relname FROM policies AS p
WHERE p.polpermissive GROUP BY p.polrelid, p.relname, p.polcmd HAVING count(*) > 1
UNION ALL
SELECT '0007 ' || relname FROM policies WHERE NOT relrowsecurity
UNION ALL
SELECT '0008 ' || c.relname FROM pg_class AS c
WHERE c.relkind = 'r' AND c.relrowsecurity
    AND NOT EXISTS (SELECT FROM policies AS p WHERE p.polrelid = c.oid)
UNION ALL
SELECT '0010 ' || c.relname FROM pg_class AS c
WHERE c.relkind = 'v' AND c.relnamespace::regnamespace::text NOT IN
        ('pg_catalog', 'information_schema')
    AND (has_table_privilege('anon', c.oid, 'SELECT')
        OR has_table_privilege('authenticated', c.oid, 'SELECT'))
UNION ALL
SELECT '0011 ' || p.proname FROM pg_proc AS p
WHERE p.pronamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
    AND p.oid NOT IN (SELECT o.objid FROM own AS o)
    AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS s WHERE s LIKE 'search_path=%')
UNION ALL
SELECT '0013 ' || c.relname FROM pg_class AS c
WHERE c.relkind = 'r' AND NOT c.relrowsecurity
    AND c.relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
    AND (has_table_privilege('anon', c.oid, 'SELECT')
        OR has_table_privilege('authenticated', c.oid, 'SELECT'))
UNION ALL
SELECT '0024 ' || relname FROM policies
WHERE relrowsecurity AND polpermissive AND polroles = '{0}'
    AND (polcmd IN ('w', 'd', '*') AND coalesce(qual, 'true') IN ('true', '(1 = 1)')
        OR with_check IN ('true', '(1 = 1)') OR polcmd = 'a' AND with_check IS NULL)
UNION ALL
SELECT '0028 ' || p.proname FROM pg_proc AS p
WHERE p.prosecdef AND has_function_privilege('anon', p.oid, 'EXECUTE')
    AND p.pronamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
ORDER BY 1
