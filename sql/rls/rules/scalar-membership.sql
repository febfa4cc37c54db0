-- "team_id = (SELECT team_id FROM members WHERE user_id = auth.uid())" works until a user is in two
-- teams. Then each query of that user fails (21000), or with LIMIT 1 shows an arbitrary team.
-- Recognised in the text of the policy.
WITH
found AS (
    SELECT p.oid, p.polrelid, p.polname, t.oid AS lookup_table,
        bool_or(m[3] ~ '\mLIMIT\M') AS is_limited,
        string_agg(
            DISTINCT format('%s (%s)',
                CASE f.clause WHEN 'using' THEN 'USING' ELSE 'WITH CHECK' END, f.expression),
            ' ') AS expressions
    FROM crewsnow_ops.rls_policy_facts() AS f
    JOIN pg_policy AS p ON p.oid = f.policy
    JOIN pg_class AS c ON c.oid = p.polrelid AND c.relrowsecurity
    CROSS JOIN LATERAL regexp_matches(f.expression,
        ' = \( SELECT ([^()]*)\s+FROM (\S+)(?: \w+)?\s+WHERE (.*)', 'g') AS m
    JOIN pg_class AS t ON t.oid = ANY (f.relations) AND t.oid::regclass::text = m[2]
    -- A unique key whose columns are all compared gives one row at most.
    WHERE NOT EXISTS (
        SELECT FROM pg_index AS i
        WHERE i.indrelid = t.oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
            AND (
                SELECT bool_and(
                    m[3] ~ ('\m' || quote_ident(a.attname) || ' = ')
                        OR m[3] ~ (' = (\w+\.)?' || quote_ident(a.attname) || '\M'))
                FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
                JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = k.attnum
                WHERE k.place <= i.indnkeyatts
            )
    )
    GROUP BY p.oid, c.oid, t.oid
)
SELECT
    'MEDIUM' AS severity, 'SUSPECTED' AS confidence,
    format('policy "%s" on %s', replace(f.polname, '"', '""'), f.polrelid::regclass) AS object,
    'pg_policy'::regclass::oid AS classid, f.oid AS objid, f.polrelid AS relation,
    CASE
        WHEN f.is_limited THEN format(
            'The policy takes one row of %s where there may be more: a user with two rows gets an '
            'arbitrary one.', f.lookup_table::regclass)
        ELSE format(
            'The policy expects one row of %s: a user with two rows gets error 21000 from every '
            'query.', f.lookup_table::regclass)
    END AS detail,
    f.expressions || '; no unique key of ' || f.lookup_table::regclass
        || ' limits it to one row' AS evidence,
    -- IN in place of = would let a user with two rows reach more than now.
    NULL::text AS remediation,
    NULL::text AS cache_key
FROM found AS f
ORDER BY object
LIMIT 200
