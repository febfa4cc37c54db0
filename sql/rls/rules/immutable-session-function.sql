-- A policy calls a function that is declared IMMUTABLE but checks the identity. The planner may
-- compute it once and keep the answer in a cached plan: on a pooled connection the next user gets
-- the rows of the previous one.
WITH
identity_pattern AS (
    SELECT concat_ws(
        '|', '\mcurrent_setting\s*\(|\m(current_user|session_user|current_role)\M',
        '\m(' || string_agg(DISTINCT regexp_replace(p.proname, '\W', '\\\&', 'g'), '|')
            || ')"?\s*\(') AS identity
    FROM pg_proc AS p
    WHERE p.oid = ANY ($2)
),
found AS (
    SELECT p.oid, p.proowner, p.prokind, b.body ~* w.identity AS checks_identity,
        string_agg(
            DISTINCT format('"%s" on %s', replace(l.polname, '"', '""'), l.polrelid::regclass),
            ', ') AS policies, min(l.polrelid::bigint)::oid AS relation
    FROM crewsnow_ops.rls_policy_facts() AS f
    JOIN pg_policy AS l ON l.oid = f.policy
    CROSS JOIN unnest(f.functions) AS c (function)
    JOIN pg_proc AS p ON p.oid = c.function AND p.provolatile = 'i'
    JOIN pg_namespace AS n ON n.oid = p.pronamespace AND n.nspname <> 'pg_catalog'
    CROSS JOIN identity_pattern AS w
    CROSS JOIN LATERAL (
        SELECT regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc),
            '--[^\n]*|/\*([^*]|\*+[^*/])*\*+/', ' ', 'g') AS body
    ) AS b
    WHERE (b.body ~* w.identity OR b.body ~* '\m(from|join)\s+["a-z]')
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
    GROUP BY p.oid, b.body, w.identity
)
SELECT
    CASE WHEN f.checks_identity THEN 'CRITICAL' ELSE 'HIGH' END AS severity,
    'SUSPECTED' AS confidence, 'function ' || f.oid::regprocedure AS object,
    'pg_proc'::regclass::oid AS classid, f.oid AS objid, f.relation,
    format(
        'The function is declared IMMUTABLE but %s, and policies call it: %s. A cached plan may '
        'keep the answer of another user or an earlier time.',
        CASE WHEN f.checks_identity THEN 'checks the identity' ELSE 'reads a table' END, f.policies
    ) AS detail,
    'IMMUTABLE; called by policies: ' || f.policies AS evidence,
    CASE
        WHEN NOT pg_has_role(f.proowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(f.proowner), E'\n\r', '  '))
        ELSE ''
    END
        || format('ALTER FUNCTION %s STABLE;', f.oid::regprocedure) AS remediation,
    NULL::text AS cache_key
FROM found AS f
ORDER BY NOT f.checks_identity, object
LIMIT 200
