-- $1 oid: the table of accounts, $2 names of owner columns. Every table, materialized view and
-- foreign table with the columns that could hold an identifier: quoted name, owner, whether it
-- belongs to the extension, whether it is a materialized view, a reason why it cannot be searched;
-- column, kind, and 'owner' if it names a user.
SELECT format('%I.%I', n.nspname, c.relname), c.relowner, o.is_own, c.relkind = 'm',
    CASE
        WHEN c.relkind = 'f' THEN 'a foreign table: search it where its rows are'
        WHEN NOT o.is_own AND NOT has_table_privilege(c.oid, 'SELECT')
        THEN 'you lack the privilege SELECT on it'
    END,
    a.columns
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
            AND d.refclassid = 'pg_extension'::regclass
            AND d.refobjid = (SELECT e.oid FROM pg_extension AS e WHERE e.extname = 'crewsnow_ops')
    ) AS is_own
) AS o
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_array(quote_ident(a.attname), CASE
            WHEN t.typcategory = 'A' THEN 'array'
            WHEN a.atttypid IN ('jsonb'::regtype, 'bytea'::regtype, 'uuid'::regtype)
            THEN t.typname::text
            ELSE 'text'
        END, CASE WHEN f.is_reference OR a.attname ~ $2 THEN 'owner' ELSE '' END)
        ORDER BY a.attnum) AS columns
    FROM pg_attribute AS a
    JOIN pg_type AS t ON t.oid = a.atttypid
    LEFT JOIN pg_type AS e ON e.oid = t.typelem AND t.typcategory = 'A'
    CROSS JOIN LATERAL (
        SELECT c.oid = $1 AND EXISTS (
                SELECT FROM pg_index AS i
                WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey)
            ) OR EXISTS (
                SELECT FROM pg_constraint AS f
                WHERE f.contype = 'f' AND f.conrelid = c.oid AND f.confrelid = $1
                    AND a.attnum = ANY (f.conkey)
            ) AS is_reference
    ) AS f
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND (
            t.typcategory IN ('S', 'C', 'E', 'X')
            OR t.typcategory = 'U'
                AND t.typname NOT IN ('macaddr', 'macaddr8', 'pg_lsn', 'pg_snapshot', 'xid', 'xid8',
                    'cid', 'tid', 'txid_snapshot', 'tsquery')
            OR t.typcategory = 'A' AND e.typcategory IN ('S', 'C', 'E', 'U', 'X')
            OR t.typcategory = 'N' AND (f.is_reference OR a.attname ~ $2)
        )
) AS a
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
    AND (c.relkind <> 'm' OR c.relispopulated)
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND NOT (o.is_own AND c.relname = 'erasure_salts')
    AND a.columns IS NOT NULL
ORDER BY n.nspname, c.relname
