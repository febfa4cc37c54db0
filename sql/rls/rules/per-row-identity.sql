-- An identity function outside a scalar sub-query is computed for every row that the policy checks;
-- inside one, once per statement. No leak, but on a large table it decides between an answer and a
-- timeout.
WITH
identity_pattern AS (
    SELECT string_agg(regexp_replace(format('%I.%I()', n.nspname, p.proname), '\W', '\\\&', 'g'),
        '|') AS calls
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE p.oid = ANY ($2) AND p.pronargs = 0
),
found AS (
    SELECT p.oid, p.polrelid, p.polname, c.relname, c.relnamespace, c.relowner,
        sum(f.unwrapped_identity_calls) AS unwrapped, sum(f.identity_calls) AS calls,
        string_agg(
            format('%s (%s)', CASE f.clause WHEN 'using' THEN 'USING' ELSE 'WITH CHECK' END,
                f.expression),
            ' ' ORDER BY f.clause DESC) AS expressions,
        string_agg(
            format(
                E'\n    %s (%s)', CASE f.clause WHEN 'using' THEN 'USING' ELSE 'WITH CHECK' END,
                CASE
                    WHEN f.unwrapped_identity_calls > 0 THEN
                        regexp_replace(f.expression, '(?<!SELECT \(*)\m(' || w.calls || ')',
                            '(SELECT \1)', 'g')
                    ELSE f.expression
                END
            ),
            '' ORDER BY f.clause DESC) AS new_clauses
    FROM crewsnow_ops.rls_policy_facts() AS f
    CROSS JOIN identity_pattern AS w
    JOIN pg_policy AS p ON p.oid = f.policy
    JOIN pg_class AS c ON c.oid = p.polrelid AND c.relrowsecurity
    GROUP BY p.oid, c.oid
    HAVING sum(f.unwrapped_identity_calls) > 0
)
SELECT
    'LOW' AS severity, 'PROVED' AS confidence,
    format('policy "%s" on %s', replace(f.polname, '"', '""'), f.polrelid::regclass) AS object,
    'pg_policy'::regclass::oid AS classid, f.oid AS objid, f.polrelid AS relation,
    format(
        'The policy computes the identity for each row: %s of %s calls are outside a scalar '
        'sub-query.', f.unwrapped, f.calls) AS detail, f.expressions AS evidence,
    CASE
        WHEN NOT pg_has_role(f.relowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(f.relowner), E'\n\r', '  '))
        ELSE ''
    END
        || format('ALTER POLICY %I ON %s%s;', f.polname, f.polrelid::regclass,
            f.new_clauses) AS remediation,
    format('auth_rls_init_plan_%s_%s_%s', n.nspname, f.relname, f.polname) AS cache_key
FROM found AS f
JOIN pg_namespace AS n ON n.oid = f.relnamespace
ORDER BY (SELECT c.reltuples FROM pg_class AS c WHERE c.oid = f.polrelid) DESC, object
LIMIT 200
