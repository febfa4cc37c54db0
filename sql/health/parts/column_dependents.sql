-- The size of the table of the column c (relid, attnum), an estimate while another session locks
-- the table, and its dependents: views must be dropped, and foreign keys changed with it.
(
    SELECT concat_ws(', ',
        'table of ' || CASE
            WHEN EXISTS (SELECT FROM pg_locks AS l WHERE l.relation = t.oid
                AND l.mode = 'AccessExclusiveLock')
                THEN CASE WHEN t.reltuples < 0 THEN 'unknown size'
                    ELSE 'about ' || pg_size_pretty(t.relpages * 8192::bigint) END
            ELSE pg_size_pretty(pg_total_relation_size(t.oid)) || ' with its indexes'
        END,
        (
            SELECT 'views: ' || string_agg(v.name, ', ' ORDER BY v.name)
            FROM (
                SELECT DISTINCT w.ev_class::regclass::text AS name
                FROM pg_depend AS d
                JOIN pg_rewrite AS w ON w.oid = d.objid
                WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
                    AND d.refobjid = c.relid AND d.refobjsubid = c.attnum AND w.ev_class <> c.relid
                LIMIT 5
            ) AS v
        ),
        (
            SELECT 'foreign keys of: ' || string_agg(f.name, ', ' ORDER BY f.name)
            FROM (
                SELECT DISTINCT k.conrelid::regclass::text AS name
                FROM pg_constraint AS k
                WHERE k.contype = 'f' AND k.confrelid = c.relid AND c.attnum = ANY (k.confkey)
                LIMIT 5
            ) AS f
        ))
    FROM pg_class AS t
    WHERE t.oid = c.relid
)
