-- Policy that compares a column with itself. In a sub-query "m.team_id = team_id" means m.team_id =
-- m.team_id where m has such a column: the condition meant to tie the row to its team is always
-- true.
SELECT
    'HIGH' AS severity, 'SUSPECTED' AS confidence,
    format('policy "%s" on %s', replace(p.polname, '"', '""'), c.oid::regclass) AS object,
    'pg_policy'::regclass::oid AS classid, p.oid AS objid, p.polrelid AS relation,
    format(
        'The policy compares %s with itself, which is always true. A column of the outer table was '
        'probably meant; as written, the row is tied to nothing.', string_agg(DISTINCT m[1], ', ')
    ) AS detail,
    string_agg(
        DISTINCT format('%s (%s)', CASE f.clause WHEN 'using' THEN 'USING' ELSE 'WITH CHECK' END,
            f.expression),
        ' ') AS evidence, NULL::text AS remediation, NULL::text AS cache_key
FROM crewsnow_ops.rls_policy_facts() AS f
JOIN pg_policy AS p ON p.oid = f.policy
JOIN pg_class AS c ON c.oid = p.polrelid AND c.relrowsecurity
CROSS JOIN LATERAL regexp_matches(f.expression,
    '(?<![\w.")])((?:[\w]+\.)*[a-z_]\w*) = \1(?![\w.("])', 'g') AS m
WHERE f.constant IS NULL
GROUP BY p.oid, c.oid
ORDER BY object
LIMIT 200
