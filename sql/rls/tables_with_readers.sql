-- $1 tables. Those that policies of other tables, views or functions may read: a dependency, or the
-- name in the text of a function, leads to them. All others have no reader.
WITH texts AS MATERIALIZED (
    SELECT string_agg(lower(p.prosrc), E'\n') AS body
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname NOT IN ('c', 'internal')
)
SELECT c.oid
FROM pg_class AS c
CROSS JOIN texts AS t
WHERE c.oid = ANY ($1)
    AND (
        strpos(t.body, lower(c.relname::text)) > 0
            -- The name may be quoted in several ways.
            OR c.relname ~ '\W'
            OR EXISTS (
                SELECT FROM pg_depend AS d
                LEFT JOIN pg_policy AS l ON d.classid = 'pg_policy'::regclass AND l.oid = d.objid
                WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
                    AND d.classid IN
                        ('pg_policy'::regclass, 'pg_rewrite'::regclass, 'pg_proc'::regclass)
                    AND l.polrelid IS DISTINCT FROM c.oid
            )
    )
