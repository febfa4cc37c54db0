-- A policy compares a column with the identity, and no index begins with that column: every query
-- of every user reads the whole table. No leak, but timeouts tempt the operator to disable
-- row-level security.
WITH
found AS (
    SELECT c.oid, c.relowner, c.relkind, c.reltuples, a.attname,
        string_agg(DISTINCT format('"%s"', replace(p.polname, '"', '""')), ', ') AS policies
    FROM crewsnow_ops.rls_policy_facts() AS f
    CROSS JOIN LATERAL unnest(f.owner_columns) AS o (attnum)
    JOIN pg_policy AS p ON p.oid = f.policy AND p.polcmd <> 'a'
    JOIN pg_class AS c ON c.oid = p.polrelid AND c.relrowsecurity AND c.relkind IN ('r', 'p')
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = o.attnum
    WHERE f.clause = 'using'
        AND NOT EXISTS (
            SELECT FROM pg_index AS i
            WHERE i.indrelid = c.oid AND i.indisvalid AND i.indkey[0] = o.attnum
        )
    GROUP BY c.oid, a.attname
)
SELECT
    CASE WHEN f.reltuples BETWEEN 0 AND 1000 THEN 'INFO' ELSE 'LOW' END AS severity,
    'PROVED' AS confidence, format('table %s, column %I', f.oid::regclass, f.attname) AS object,
    'pg_class'::regclass::oid AS classid, f.oid AS objid, f.oid AS relation,
    format(
        'Policies compare %s with the identity, and no index begins with it: each query reads the '
        'whole table.', f.attname) AS detail,
    format('%s rows (estimate); policies %s', greatest(f.reltuples, 0)::bigint,
        f.policies) AS evidence,
    CASE
        WHEN NOT pg_has_role(f.relowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(f.relowner), E'\n\r', '  '))
        ELSE ''
    END
        || format('CREATE INDEX %sON %s (%I);',
            CASE WHEN f.relkind = 'r' THEN 'CONCURRENTLY ' ELSE '' END, f.oid::regclass,
            f.attname) AS remediation,
    NULL::text AS cache_key
FROM found AS f
ORDER BY f.reltuples BETWEEN 0 AND 1000, f.reltuples DESC, object, f.attname
LIMIT 200
