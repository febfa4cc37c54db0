-- Objects of a restored schema whose functions would run as the restoring role while rows are
-- copied: CHECK constraints, generated columns and partition keys. Functions of superusers and of
-- that role may run. Functions of others may, where they run as the owner of the table: in indexes,
-- materialized views and foreign keys.
SELECT json_build_object('kind', k.kind, 'name', k.name, 'function', f.oid::regprocedure::text,
    'owner', pg_get_userbyid(f.proowner))
FROM (
    SELECT 'constraint' AS kind, d.classid, d.objid,
        concat_ws(' on ', quote_ident(c.conname), nullif(c.conrelid, 0)::regclass,
            nullif(c.contypid, 0)::regtype) AS name, d.refclassid, d.refobjid
    FROM pg_constraint AS c
    JOIN pg_depend AS d ON d.classid = 'pg_constraint'::regclass AND d.objid = c.oid
    WHERE c.contype = 'c'
    UNION ALL
    SELECT 'generated column', d.classid, d.objid,
        concat_ws('.', a.adrelid::regclass, quote_ident(t.attname)), d.refclassid, d.refobjid
    FROM pg_attrdef AS a
    JOIN pg_attribute AS t ON t.attrelid = a.adrelid AND t.attnum = a.adnum
        AND t.attgenerated <> ''
    JOIN pg_depend AS d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid
    UNION ALL
    SELECT 'partition key', d.classid, d.objid, p.partrelid::regclass::text, d.refclassid,
        d.refobjid
    FROM pg_partitioned_table AS p
    JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = p.partrelid
) AS k
LEFT JOIN pg_operator AS o ON k.refclassid = 'pg_operator'::regclass AND o.oid = k.refobjid
JOIN pg_proc AS f ON f.oid = o.oprcode
    OR k.refclassid = 'pg_proc'::regclass AND f.oid = k.refobjid
JOIN pg_roles AS r ON r.oid = f.proowner
WHERE NOT r.rolsuper AND r.rolname <> current_user
