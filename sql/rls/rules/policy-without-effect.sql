-- Policy that admits nothing: the clause that its command needs is missing, the condition is never
-- true, or its roles bypass row-level security or lack the privilege. No leak, but not what the
-- author intended. A missing WITH CHECK of FOR UPDATE and FOR ALL is correct: USING takes its
-- place.
WITH
constants AS (
    SELECT f.policy, f.clause, f.constant
    FROM crewsnow_ops.rls_policy_facts() AS f
    WHERE f.constant IN ('false', 'null')
),
-- Roles that have the rights of each policy role. The policy role itself comes first: it usually
-- decides the EXISTS below.
members AS MATERIALIZED (
    SELECT t.oid AS policy_role, r.oid AS role
    FROM (SELECT DISTINCT u.oid FROM pg_policy AS p, unnest(p.polroles) AS u (oid)) AS t
    JOIN pg_roles AS r ON NOT r.rolsuper AND NOT r.rolbypassrls
        AND (t.oid = 0 OR pg_has_role(r.oid, t.oid, 'USAGE'))
    ORDER BY r.oid <> t.oid, r.oid <> ALL ($1)
),
found AS (
    SELECT p.oid, p.polrelid, p.polname, p.polcmd, c.oid::regclass::text AS table_name,
        CASE
            WHEN p.polcmd = 'a' AND p.polwithcheck IS NULL
                THEN 'has no effect: FOR INSERT without WITH CHECK admits no row'
            WHEN p.polcmd IN ('r', 'w', 'd') AND p.polqual IS NULL
                THEN 'has no effect: without USING it covers no row'
            WHEN p.polcmd = '*' AND p.polqual IS NULL
                THEN 'allows INSERT only: it is FOR ALL without USING'
            WHEN EXISTS (
                SELECT FROM constants AS k
                WHERE k.policy = p.oid
                    AND k.clause = CASE p.polcmd WHEN 'a' THEN 'check' ELSE 'using' END
            ) THEN 'has no effect: its condition is never true'
            WHEN p.polroles <> '{0}'
                AND NOT EXISTS (
                    SELECT FROM pg_roles AS r
                    WHERE r.oid = ANY (p.polroles) AND NOT r.rolsuper AND NOT r.rolbypassrls
                ) THEN 'has no effect: its roles bypass row-level security'
            WHEN NOT EXISTS (
                SELECT FROM members AS m
                WHERE m.policy_role = ANY (p.polroles)
                    AND (
                        p.polcmd IN ('r', '*') AND has_any_column_privilege(m.role, c.oid, 'SELECT')
                            OR p.polcmd IN ('a', '*')
                                AND has_any_column_privilege(m.role, c.oid, 'INSERT')
                            OR p.polcmd IN ('w', '*')
                                AND has_any_column_privilege(m.role, c.oid, 'UPDATE')
                            OR p.polcmd IN ('d', '*')
                                AND has_table_privilege(m.role, c.oid, 'DELETE'))
            ) THEN 'has no effect: none of its roles has the privilege'
        END AS reason
    FROM pg_policy AS p
    JOIN pg_class AS c ON c.oid = p.polrelid AND c.relrowsecurity
    WHERE p.polpermissive
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
)
SELECT
    'INFO' AS severity, 'PROVED' AS confidence,
    format('policy "%s" on %s', replace(f.polname, '"', '""'), f.table_name) AS object,
    'pg_policy'::regclass::oid AS classid, f.oid AS objid, f.polrelid AS relation,
    format('The policy %s.', f.reason) AS detail,
    format(
        'FOR %s TO %s',
        CASE f.polcmd
            WHEN 'r' THEN 'SELECT'
            WHEN 'a' THEN 'INSERT'
            WHEN 'w' THEN 'UPDATE'
            WHEN 'd' THEN 'DELETE'
            ELSE 'ALL'
        END,
        (
            SELECT
                string_agg(
                    CASE t.oid WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(t.oid)) END,
                    ', ')
            FROM pg_policy AS p, unnest(p.polroles) AS t (oid)
            WHERE p.oid = f.oid
        )
    ) AS evidence,
    NULL::text AS remediation, NULL::text AS cache_key
FROM found AS f
WHERE f.reason IS NOT NULL
ORDER BY object
LIMIT 200
