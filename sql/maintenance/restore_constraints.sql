-- Constraints of tables. Those of partitions that follow from the parent's are left out: the server
-- chooses their names.
SELECT jsonb_strip_nulls(jsonb_build_object(
    'kind', CASE k.contype WHEN 'f' THEN 'foreign key' WHEN 'c' THEN 'check constraint'
        WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique constraint'
        WHEN 'x' THEN 'exclusion constraint' END,
    'name', format('%I on %I.%I', k.conname, n.nspname, c.relname),
    'parent', format('%I.%I', n.nspname, c.relname),
    'extension', e.extname,
    'definition', jsonb_build_object(
        'condition', regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''),
        'validity', CASE WHEN k.convalidated THEN 'valid' ELSE 'not validated' END)))::text
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_depend AS x ON x.classid = 'pg_class'::regclass AND x.objid = c.oid
    AND x.objsubid = 0 AND x.deptype = 'e'
LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
WHERE c.oid >= 16384 AND k.contype IN ('f', 'c', 'p', 'u', 'x') AND k.conparentid = 0
    AND n.nspname !~ '^pg_(temp|toast)'
