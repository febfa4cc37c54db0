-- Versions of the collations that this database uses: as recorded, and as this system has them.
-- Indexes on text of another version may be out of order.
SELECT jsonb_build_object('kind', 'collation version', 'name', format('of database %I', d.datname),
    'definition', jsonb_build_object('recorded', d.datcollversion,
        'actual', pg_database_collation_actual_version(d.oid)))::text
FROM pg_database AS d
WHERE d.datname = current_database() AND d.datcollversion IS NOT NULL
UNION ALL
SELECT jsonb_build_object('kind', 'collation version',
    'name', format('of collation %I.%I', n.nspname, c.collname),
    'definition', jsonb_build_object('recorded', c.collversion,
        'actual', pg_collation_actual_version(c.oid)))::text
FROM pg_collation AS c
JOIN pg_namespace AS n ON n.oid = c.collnamespace
WHERE c.collversion IS NOT NULL
    AND EXISTS (SELECT FROM pg_depend AS x
        WHERE x.refclassid = 'pg_collation'::regclass AND x.refobjid = c.oid
            AND x.classid IN ('pg_class'::regclass, 'pg_constraint'::regclass,
                'pg_type'::regclass))
