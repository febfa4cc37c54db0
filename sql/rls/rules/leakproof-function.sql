-- The planner may run a LEAKPROOF function before the policies of a table, on rows that they hide.
-- The server trusts the declaration: a function that reveals its argument, by an error or
-- otherwise, reveals hidden rows.
WITH
found AS (
    SELECT p.oid, p.proowner, l.lanname,
        (
            SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname)
            FROM pg_roles AS r
            WHERE r.oid = ANY ($1) AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
                AND has_schema_privilege(r.oid, p.pronamespace, 'USAGE')
        ) AS callers,
        (
            SELECT string_agg(o.oid::regoperator::text, ', ')
            FROM pg_operator AS o
            WHERE o.oprcode = p.oid
        ) AS operators
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    JOIN pg_language AS l ON l.oid = p.prolang
    WHERE p.proleakproof
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
)
SELECT
    CASE WHEN f.callers IS NULL THEN 'LOW' ELSE 'MEDIUM' END AS severity, 'SUSPECTED' AS confidence,
    'function ' || f.oid::regprocedure AS object, 'pg_proc'::regclass::oid AS classid,
    f.oid AS objid, NULL::oid AS relation,
     'The function is declared LEAKPROOF: the planner may run it before the policies, on rows that '
     'they hide.' AS detail,
    concat_ws('; ', 'language ' || f.lanname, 'callable by ' || f.callers,
        'implements operator ' || f.operators) AS evidence,
    CASE
        WHEN NOT pg_has_role(f.proowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(f.proowner), E'\n\r', '  '))
        ELSE ''
    END
        || format('ALTER FUNCTION %s NOT LEAKPROOF;', f.oid::regprocedure) AS remediation,
    NULL::text AS cache_key
FROM found AS f
ORDER BY f.callers IS NULL, object
LIMIT 200
