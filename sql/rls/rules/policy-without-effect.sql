-- Policies that let nobody do anything: without the clause that their command needs, with a condition that is never true, for roles that row-
-- level security does not stop or that lack the privilege. No leak, but somebody thinks otherwise. (A missing WITH CHECK of FOR UPDATE and FOR
-- ALL is none of these: USING takes its place.)
WITH
constants AS (
    SELECT f.policy, f.clause, f.constant FROM crewsnow_ops.rls_policy_facts() AS f WHERE f.constant IN ('false', 'null')
),
-- Who has the rights of the roles that policies are for; the role itself first, because it mostly answers the question.
members AS MATERIALIZED (
    SELECT t.oid AS policy_role, r.oid AS role
    FROM (SELECT DISTINCT u.oid FROM pg_policy AS p, unnest(p.polroles) AS u (oid)) AS t
    JOIN pg_roles AS r ON NOT r.rolsuper AND NOT r.rolbypassrls AND (t.oid = 0 OR pg_has_role(r.oid, t.oid, 'USAGE'))
    ORDER BY r.oid <> t.oid, r.oid <> ALL ($1)
),
found AS (
    SELECT p.oid, p.polrelid, p.polname, p.polcmd, c.oid::regclass::text AS table_name,
        CASE
            WHEN p.polcmd = 'a' AND p.polwithcheck IS NULL THEN 'it is FOR INSERT and has no WITH CHECK: it allows no row'
            WHEN p.polcmd IN ('r', 'w', 'd') AND p.polqual IS NULL THEN 'it has no USING: it covers no row'
            WHEN p.polcmd = '*' AND p.polqual IS NULL THEN 'it is FOR ALL and has no USING: it lets rows be inserted, and nothing else'
            WHEN EXISTS (SELECT FROM constants AS k WHERE k.policy = p.oid AND k.clause = CASE p.polcmd WHEN 'a' THEN 'check' ELSE 'using' END)
                THEN 'its condition is never true'
            WHEN p.polroles <> '{0}' AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = ANY (p.polroles) AND NOT r.rolsuper
                AND NOT r.rolbypassrls)
                THEN 'it is for roles that are above row-level security and need no policy'
            WHEN NOT EXISTS (
                SELECT FROM members AS m
                WHERE m.policy_role = ANY (p.polroles)
                    AND (p.polcmd IN ('r', '*') AND has_any_column_privilege(m.role, c.oid, 'SELECT') OR p.polcmd IN ('a', '*')
                        AND has_any_column_privilege(m.role, c.oid, 'INSERT')
                        OR p.polcmd IN ('w', '*') AND has_any_column_privilege(m.role, c.oid, 'UPDATE') OR p.polcmd IN ('d', '*')
                            AND has_table_privilege(m.role, c.oid, 'DELETE'))
            ) THEN 'no role that it is for has the privilege'
        END AS reason
    FROM pg_policy AS p
    JOIN pg_class AS c ON c.oid = p.polrelid AND c.relrowsecurity
    WHERE p.polpermissive AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
)
SELECT
    'INFO' AS severity, 'PROVED' AS confidence,
    format('policy "%s" on %s', replace(f.polname, '"', '""'), f.table_name) AS object,
    'pg_policy'::regclass::oid AS classid, f.oid AS objid, f.polrelid AS relation,
    format('It changes nothing: %s.', f.reason) AS detail,
    format('FOR %s TO %s', CASE f.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
        (SELECT string_agg(CASE t.oid WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(t.oid)) END, ', ') FROM pg_policy AS p,
            unnest(p.polroles) AS t (oid) WHERE p.oid = f.oid)) AS evidence,
    NULL::text AS remediation, NULL::text AS cache_key
FROM found AS f
WHERE f.reason IS NOT NULL
ORDER BY object
LIMIT 200
