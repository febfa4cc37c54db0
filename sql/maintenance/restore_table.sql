-- $1 text: quoted name of a table, $2 oid: a role. The owner of the table, whether the role may
-- read all of its rows, and whether the planner evaluates expressions of its indexes or statistics.
SELECT c.relowner,
    pg_catalog.has_table_privilege($2, c.oid, 'SELECT')
        AND pg_catalog.has_schema_privilege($2, c.relnamespace, 'USAGE')
        AND (NOT c.relrowsecurity OR r.rolsuper OR r.rolbypassrls
            OR pg_catalog.pg_has_role($2, c.relowner, 'USAGE') AND NOT c.relforcerowsecurity),
    EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid
            AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL))
        OR EXISTS (SELECT FROM pg_catalog.pg_statistic_ext AS s WHERE s.stxrelid = c.oid
            AND s.stxexprs IS NOT NULL)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_roles AS r ON r.oid = $2
WHERE c.relkind = 'r'
    AND c.oid = CASE WHEN $1 ~ '[.]' THEN pg_catalog.to_regclass($1) END
