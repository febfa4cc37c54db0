-- Without USAGE on its schema, to_regproc would raise.
SELECT coalesce(bool_or(CASE WHEN has_schema_privilege(n.oid, 'USAGE')
    THEN to_regproc($1) IS NOT NULL ELSE false END), false)
FROM pg_namespace AS n
WHERE starts_with($1, quote_ident(n.nspname) || '.')
