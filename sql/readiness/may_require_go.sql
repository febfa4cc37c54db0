-- Whether the caller may execute crewsnow_ops.require_go.
SELECT pg_catalog.has_function_privilege(
    'crewsnow_ops.require_go(pg_catalog.text, pg_catalog.text)', 'EXECUTE'
)
