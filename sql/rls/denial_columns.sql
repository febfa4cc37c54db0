-- $1 a relation, $2 a role. Its columns: privileges of the role as letters of s, i, u, whether the
-- caller may read it, and the objects behind its default that the role may not use.
SELECT
    a.attnum, a.attname::text, a.atttypid, a.attnotnull, a.attidentity <> '' AS is_identity,
    a.attgenerated <> '' AS is_generated, a.atthasdef,
    EXISTS (
        SELECT FROM pg_index AS i
        WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)
    ) AS is_key,
    concat(
        CASE WHEN has_column_privilege($2, a.attrelid, a.attnum, 'SELECT') THEN 's' END,
        CASE WHEN has_column_privilege($2, a.attrelid, a.attnum, 'INSERT') THEN 'i' END,
        CASE WHEN has_column_privilege($2, a.attrelid, a.attnum, 'UPDATE') THEN 'u' END
    ) AS privileges,
    has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS is_readable,
    (
        SELECT s.oid
        FROM pg_attrdef AS d
        JOIN pg_depend AS p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
            AND p.refclassid = 'pg_class'::regclass
        JOIN pg_class AS s ON s.oid = p.refobjid
        WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attidentity = ''
            AND CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege($2, s.oid,
                'USAGE, UPDATE') END
        LIMIT 1
    )::regclass::text AS sequence,
    (
        SELECT f.oid
        FROM pg_attrdef AS d
        JOIN pg_depend AS p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
            AND p.refclassid = 'pg_proc'::regclass
        JOIN pg_proc AS f ON f.oid = p.refobjid
        WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum
            AND NOT has_function_privilege($2, f.oid, 'EXECUTE')
        LIMIT 1
    )::regprocedure::text AS function
FROM pg_attribute AS a
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
