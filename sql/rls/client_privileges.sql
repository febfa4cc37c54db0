-- $1 roles, $2 schemas. The privileges of each role on relations, columns, functions and schemas
-- that it may reach: role, privilege, object, the oid of the relation, and whether the object is a
-- table. A privilege on columns stands for one that the role lacks on the whole relation.
SELECT r.role, p.privilege, o.kind || ' ' || c.oid::regclass AS object, c.oid AS relation,
    c.relkind IN ('r', 'p') AS is_table
FROM unnest($1) AS r (role)
JOIN pg_class AS c ON c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relnamespace = ANY ($2)
    AND c.relpersistence <> 't' AND has_schema_privilege(r.role, c.relnamespace, 'USAGE')
CROSS JOIN LATERAL (
    SELECT CASE c.relkind
        WHEN 'v' THEN 'view'
        WHEN 'm' THEN 'materialized view'
        WHEN 'f' THEN 'foreign table'
        WHEN 'S' THEN 'sequence'
        ELSE 'table'
    END AS kind
) AS o
CROSS JOIN LATERAL (
    SELECT t.name AS privilege
    FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES',
        'TRIGGER']) AS t (name)
    WHERE c.relkind <> 'S' AND has_table_privilege(r.role, c.oid, t.name)
    UNION ALL
    SELECT format('%s (%I)', t.name, a.attname)
    FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS t (name)
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind <> 'S' AND NOT has_table_privilege(r.role, c.oid, t.name)
        AND has_any_column_privilege(r.role, c.oid, t.name)
        AND has_column_privilege(r.role, c.oid, a.attnum, t.name)
    UNION ALL
    SELECT t.name
    FROM unnest(ARRAY['SELECT', 'USAGE', 'UPDATE']) AS t (name)
    WHERE c.relkind = 'S' AND has_sequence_privilege(r.role, c.oid, t.name)
) AS p
UNION ALL
SELECT r.role, 'EXECUTE', 'function ' || f.oid::regprocedure, f.oid, false
FROM unnest($1) AS r (role)
JOIN pg_proc AS f ON f.pronamespace = ANY ($2) AND has_function_privilege(r.role, f.oid, 'EXECUTE')
    AND has_schema_privilege(r.role, f.pronamespace, 'USAGE')
UNION ALL
SELECT r.role, t.name, 'schema ' || quote_ident(n.nspname), n.oid, false
FROM unnest($1) AS r (role)
JOIN pg_namespace AS n ON n.oid = ANY ($2)
CROSS JOIN unnest(ARRAY['USAGE', 'CREATE']) AS t (name)
WHERE has_schema_privilege(r.role, n.oid, t.name)
