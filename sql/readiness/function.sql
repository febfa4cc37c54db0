-- What a function is: its name wherever one stands, its owner, and what kind of test it could be.
SELECT
    pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)),
    p.proowner,
    CASE
        WHEN p.prokind <> 'f' THEN 'it is no plain function'
        WHEN p.pronargs > 0 THEN 'it has arguments'
        WHEN NOT (
            p.prorettype IN ('void'::pg_catalog.regtype, 'boolean'::pg_catalog.regtype, 'text'::pg_catalog.regtype)
            OR (p.proretset AND coalesce(p.proargnames @> '{step,statement}' AND 't' = ANY (p.proargmodes), false))
        ) THEN 'it returns something else'
    END
FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.oid = $1
