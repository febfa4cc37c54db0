-- $1 text: quoted name of a table, $2 oid: a role. The owner of the table, and whether the role may
-- read all of its rows.
SELECT c.relowner,
    pg_catalog.has_table_privilege($2, c.oid, 'SELECT')
        AND pg_catalog.has_schema_privilege($2, c.relnamespace, 'USAGE')
        AND (NOT c.relrowsecurity OR r.rolsuper OR r.rolbypassrls
            OR pg_catalog.pg_has_role($2, c.relowner, 'USAGE') AND NOT c.relforcerowsecurity)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_roles AS r ON r.oid = $2
WHERE c.relkind = 'r'
    AND c.oid = CASE WHEN $1 ~ '[.]' THEN pg_catalog.to_regclass($1) END
