-- $1 roles, $2 schemas, $3 some tables or NULL. The tables to audit, except members of extensions,
-- with one letter per privilege of each role, on the table or any column: s, i, u, d.
SELECT
    c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relkind::text, c.relrowsecurity,
        c.relforcerowsecurity,
    greatest(c.reltuples, 0)::bigint AS estimated_rows,
    (SELECT a.attname::text FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0
        AND NOT a.attisdropped ORDER BY a.attnum LIMIT 1) AS some_column,
    (
        SELECT array_agg(
            CASE WHEN NOT has_schema_privilege(r.role, n.oid, 'USAGE') THEN ''
                ELSE concat(
                    CASE WHEN has_table_privilege(r.role, c.oid, 'SELECT')
                        OR has_any_column_privilege(r.role, c.oid, 'SELECT') THEN 's' END,
                    CASE WHEN has_table_privilege(r.role, c.oid, 'INSERT')
                        OR has_any_column_privilege(r.role, c.oid, 'INSERT') THEN 'i' END,
                    CASE WHEN has_table_privilege(r.role, c.oid, 'UPDATE')
                        OR has_any_column_privilege(r.role, c.oid, 'UPDATE') THEN 'u' END,
                    CASE WHEN has_table_privilege(r.role, c.oid, 'DELETE') THEN 'd' END)
            END
            ORDER BY r.place)
        FROM unnest($1) WITH ORDINALITY AS r (role, place)
    ) AS privileges,
    pg_has_role(c.relowner, 'USAGE') AS is_own, quote_ident(pg_get_userbyid(c.relowner)) AS owner,
    -- BEFORE row triggers, by the bits of tgtype: they may change or refuse a row before policies
    -- check it.
    ARRAY(
        SELECT CASE WHEN t.tgtype & 4 > 0 THEN 'i' ELSE '' END || CASE WHEN t.tgtype & 16 > 0
            THEN 'u' ELSE '' END || ' ' || quote_ident(t.tgname)
        FROM pg_trigger AS t
        WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
            AND t.tgtype & 3 = 3 AND t.tgtype & 20 > 0
        ORDER BY t.tgname
    ) AS triggers
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND CASE
        WHEN $3 IS NOT NULL THEN c.oid = ANY ($3)
        ELSE n.oid = ANY ($2)
            AND NOT EXISTS (
                SELECT FROM pg_depend AS d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
                    AND d.deptype = 'e'
            )
        END
ORDER BY n.nspname, c.relname
