-- A VOLATILE function in a policy is called for every row, keeps the planner from using an index,
-- and may have side effects each time. Functions are VOLATILE by default, so most need not be.
WITH
facts AS MATERIALIZED (
    SELECT *
    FROM crewsnow_ops.rls_policy_facts()
),
found AS (
    SELECT p.oid, p.polrelid, p.polname, c.relowner,
        string_agg(
            format('%s (%s)', CASE f.clause WHEN 'using' THEN 'USING' ELSE 'WITH CHECK' END,
                f.expression),
            ' ' ORDER BY f.clause DESC) AS expressions,
        (
            SELECT array_agg(DISTINCT g.oid)
            FROM facts AS x
            JOIN pg_proc AS g ON g.oid = ANY (x.functions) AND g.provolatile = 'v'
            WHERE x.policy = p.oid
        ) AS functions
    FROM facts AS f
    JOIN pg_policy AS p ON p.oid = f.policy
    JOIN pg_class AS c ON c.oid = p.polrelid AND c.relrowsecurity
    WHERE f.is_volatile
    GROUP BY p.oid, c.oid
)
SELECT
    'LOW' AS severity, 'PROVED' AS confidence,
    format('policy "%s" on %s', replace(f.polname, '"', '""'), f.polrelid::regclass) AS object,
    'pg_policy'::regclass::oid AS classid, f.oid AS objid, f.polrelid AS relation,
    'The policy calls a VOLATILE function for every row: '
        || coalesce(
            (
                SELECT
                    string_agg(g.oid::regprocedure::text, ', ' ORDER BY g.oid::regprocedure::text)
                FROM pg_proc AS g
                WHERE g.oid = ANY (f.functions)
            ),
            'one called by another function') || '.' AS detail, f.expressions AS evidence,
    (
        SELECT string_agg(
            CASE
                WHEN NOT pg_has_role(g.proowner, 'USAGE') THEN
                    format(E'-- as %s:\n', translate(pg_get_userbyid(g.proowner), E'\n\r', '  '))
                ELSE ''
            END
                || format('ALTER FUNCTION %s STABLE;', g.oid::regprocedure),
            E'\n' ORDER BY g.oid::regprocedure::text)
        FROM pg_proc AS g
        JOIN pg_namespace AS n ON n.oid = g.pronamespace
        JOIN pg_language AS l ON l.oid = g.prolang
        WHERE g.oid = ANY (f.functions) AND n.nspname <> 'pg_catalog'
            AND l.lanname IN ('sql', 'plpgsql')
        HAVING bool_and(
            coalesce(pg_get_function_sqlbody(g.oid), g.prosrc
            ) !~* '\m(insert|update|delete|merge|truncate|nextval|setval|random'
                '|clock_timestamp|gen_random_uuid|set_config|execute|perform|call|notify)\M'
        )
    ) AS remediation,
    NULL::text AS cache_key
FROM found AS f
ORDER BY object
LIMIT 200
