-- The registered tests named $1, or of the criterion $2, or all. The last three columns describe
-- the function as it is now. They are NULL if it no longer exists.
SELECT
    t.name, t.criterion, t.function, t.role, t.claims,
    pg_catalog.date_part('epoch', t.time_limit) * 1000,
    t.registered_by,
    f.call, f.owner, f.shape
FROM crewsnow_ops.e2e_tests AS t
LEFT JOIN LATERAL (
    SELECT
        pg_catalog.format('%I.%I()', n.nspname, p.proname) AS call,
        p.proowner AS owner,
        CASE
            WHEN p.prokind <> 'f' OR p.pronargs > 0 THEN NULL
            WHEN p.proretset AND p.proargnames @> '{step,statement}' AND 't' = ANY (p.proargmodes)
                THEN 'plan'
            WHEN p.prorettype = 'void'::pg_catalog.regtype THEN 'void'
            WHEN p.prorettype = 'boolean'::pg_catalog.regtype THEN 'boolean'
            WHEN p.prorettype = 'text'::pg_catalog.regtype THEN 'lines'
        END AS shape
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE p.oid = pg_catalog.to_regprocedure(t.function)
) AS f ON true
WHERE ($1 IS NULL OR t.name = $1) AND ($2 IS NULL OR t.criterion = $2)
ORDER BY t.name
