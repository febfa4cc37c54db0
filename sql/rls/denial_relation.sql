-- $1 a relation, $2 a role. The relation as the role finds it: kind, names, row-level security,
-- owner, USAGE on its schema, and the privileges of the table level as letters of s, i, u, d.
SELECT
    c.relkind::text, n.nspname::text, format('%I.%I', n.nspname, c.relname) AS name,
    c.relrowsecurity, c.relowner, pg_get_userbyid(c.relowner)::text AS owner_name,
    has_schema_privilege($2, n.oid, 'USAGE') AS may_use_schema,
    concat(
        CASE WHEN has_table_privilege($2, c.oid, 'SELECT') THEN 's' END,
        CASE WHEN has_table_privilege($2, c.oid, 'INSERT') THEN 'i' END,
        CASE WHEN has_table_privilege($2, c.oid, 'UPDATE') THEN 'u' END,
        CASE WHEN has_table_privilege($2, c.oid, 'DELETE') THEN 'd' END
    ) AS privileges,
    EXISTS (
        SELECT FROM pg_options_to_table(c.reloptions) AS o
        WHERE o.option_name = 'security_invoker' AND o.option_value::boolean
    ) AS is_invoker_view
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
