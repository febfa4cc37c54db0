-- The owners that are no superusers, of the relations $1, the functions $2 and the types $3, of the
-- types that these are made of, and of the objects behind views of superusers. NULL for an object
-- that is not there
WITH RECURSIVE relations (oid) AS (
    SELECT r.oid FROM unnest($1) AS r (oid)
    UNION
    SELECT s.oid
    FROM relations AS r
    JOIN pg_class AS c ON c.oid = r.oid
    JOIN pg_roles AS a ON a.oid = c.relowner AND a.rolsuper
    CROSS JOIN LATERAL (
        SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = c.oid
        UNION ALL
        SELECT d.refobjid
        FROM pg_rewrite AS w
        JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
            AND d.refclassid = 'pg_class'::regclass
        WHERE w.ev_class = c.oid AND c.relkind = 'v'
    ) AS s (oid)
),
behind_views (class, oid) AS (
    SELECT d.refclassid, d.refobjid
    FROM relations AS r
    JOIN pg_class AS c ON c.oid = r.oid AND c.relkind = 'v'
    JOIN pg_roles AS a ON a.oid = c.relowner AND a.rolsuper
    JOIN pg_rewrite AS w ON w.ev_class = c.oid
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
),
types (oid) AS (
    (
        SELECT t.oid FROM unnest($3) AS t (oid)
        UNION ALL
        SELECT v.oid FROM behind_views AS v WHERE v.class = 'pg_type'::regclass
    )
    UNION
    SELECT p.oid
    FROM types AS o
    JOIN pg_type AS t ON t.oid = o.oid
    CROSS JOIN LATERAL (
        SELECT t.typbasetype
        UNION ALL
        SELECT t.typelem
        UNION ALL
        SELECT a.atttypid FROM pg_attribute AS a
        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT r.rngsubtype FROM pg_range AS r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
    ) AS p (oid)
    WHERE p.oid >= 16384
)
SELECT DISTINCT CASE WHEN o.owner IS NOT NULL THEN a.rolname::text END
FROM (
    SELECT c.relowner FROM relations AS r LEFT JOIN pg_class AS c ON c.oid = r.oid
    UNION ALL
    SELECT p.proowner
    FROM unnest($2) AS f (oid)
    LEFT JOIN pg_proc AS p ON p.oid = f.oid
    UNION ALL
    SELECT p.proowner
    FROM behind_views AS v
    LEFT JOIN pg_operator AS o ON v.class = 'pg_operator'::regclass AND o.oid = v.oid
    JOIN pg_proc AS p ON p.oid = CASE v.class
        WHEN 'pg_proc'::regclass THEN v.oid WHEN 'pg_operator'::regclass THEN o.oprcode END
    UNION ALL
    SELECT t.typowner FROM types AS d LEFT JOIN pg_type AS t ON t.oid = d.oid
) AS o (owner)
LEFT JOIN pg_roles AS a ON a.oid = o.owner
WHERE a.rolsuper IS NOT TRUE
ORDER BY 1
