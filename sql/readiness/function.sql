-- The function $1: its qualified name, its owner, and the reason why it cannot be a test (NULL if
-- it can).
SELECT
    pg_catalog.format(
        '%I.%I(%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)
    ),
    p.proowner,
    CASE
        WHEN p.prokind <> 'f' THEN 'it is not a plain function'
        WHEN p.pronargs > 0 THEN 'it has arguments'
        WHEN NOT (
            p.prorettype = 'void'::pg_catalog.regtype
            OR p.prorettype = 'boolean'::pg_catalog.regtype
            OR p.prorettype = 'text'::pg_catalog.regtype
            OR (
                p.proretset AND coalesce(
                    p.proargnames @> '{step,statement}' AND 't' = ANY (p.proargmodes), false
                )
            )
        ) THEN 'its return type is not supported'
    END
FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.oid = $1
