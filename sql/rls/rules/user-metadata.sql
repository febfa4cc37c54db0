-- Policy that decides by user_metadata, which users write themselves (supabase.auth.updateUser):
-- any user can claim to be an administrator. Read from the expression tree of the policy, functions
-- that the planner inlines included, so app_metadata ->> 'user_metadata_version' is not found.
WITH
clauses AS (
    SELECT f.policy, f.clause, f.expression, f.claim_keys && ARRAY['user_metadata',
        'raw_user_meta_data'] AS by_claim,
        CASE
            WHEN cardinality(f.functions) > 0 THEN (
                SELECT
                    string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid::regprocedure::text)
                FROM pg_proc AS p
                JOIN pg_namespace AS n ON n.oid = p.pronamespace AND n.nspname <> 'pg_catalog'
                WHERE p.oid = ANY (f.functions) AND p.oid <> ALL ($2)
                    AND coalesce(pg_get_function_sqlbody(p.oid), p.prosrc
                    ) ~ '->>?\s*''user_metadata''|\mraw_user_meta_data\M'
            )
        END AS by_function,
        f.relations && $3
            AND EXISTS (
                SELECT FROM pg_depend AS d
                JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                    AND a.attname IN ('raw_user_meta_data', 'user_metadata')
                WHERE d.classid = 'pg_policy'::regclass AND d.objid = f.policy
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY ($3)
                    AND d.refobjid = ANY (f.relations)
            ) AS by_column
    FROM crewsnow_ops.rls_policy_facts() AS f
),
policies AS (
    SELECT p.oid, p.polrelid, p.polname, p.polroles, c.relname, c.relnamespace,
        c.relrowsecurity,
        format('policy "%s" on %s', replace(p.polname, '"', '""'), c.oid::regclass) AS name,
        bool_or(k.by_claim) AS by_claim, bool_or(k.by_column) AS by_column,
        max(k.by_function) AS by_function,
        string_agg(
            format('%s (%s)', CASE k.clause WHEN 'using' THEN 'USING' ELSE 'WITH CHECK' END,
                k.expression),
            ' ' ORDER BY k.clause DESC) AS expressions
    FROM clauses AS k
    JOIN pg_policy AS p ON p.oid = k.policy
    JOIN pg_class AS c ON c.oid = p.polrelid
    WHERE k.by_claim OR k.by_column OR k.by_function IS NOT NULL
    GROUP BY p.oid, c.oid
)
SELECT
    CASE
        WHEN NOT p.relrowsecurity THEN 'MEDIUM'
        WHEN p.by_claim OR p.by_column THEN 'CRITICAL'
        ELSE 'HIGH'
    END AS severity,
    CASE WHEN p.by_claim OR p.by_column THEN 'PROVED' ELSE 'SUSPECTED' END AS confidence,
    p.name AS object, 'pg_policy'::regclass::oid AS classid, p.oid AS objid, p.polrelid AS relation,
    CASE
        WHEN p.by_claim OR p.by_column THEN
            'The policy decides by user_metadata, which users write themselves: any user can pass '
            'it.'
        ELSE
            format('The policy calls %s, which reads user_metadata; users write that themselves.',
                p.by_function)
    END AS detail,
    p.expressions AS evidence,
    -- Another claim in its place would admit other users: a person has to choose it.
    NULL::text AS remediation,
    format('rls_references_user_metadata_%s_%s_%s', n.nspname, p.relname, p.polname) AS cache_key
FROM policies AS p
JOIN pg_namespace AS n ON n.oid = p.relnamespace
WHERE 0 = ANY (p.polroles)
    OR EXISTS (
        SELECT FROM unnest($1) AS c (oid), unnest(p.polroles) AS t (oid)
        WHERE t.oid <> 0 AND pg_has_role(c.oid, t.oid, 'USAGE')
    )
ORDER BY NOT p.relrowsecurity, NOT (p.by_claim OR p.by_column), p.name
LIMIT 200
