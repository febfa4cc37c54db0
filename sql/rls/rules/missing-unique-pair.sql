-- Link table (member and team, like, follow) that accepts the same pair twice. Duplicates count
-- double, and a removed member stays a member by the second row.
WITH
foreign_keys AS (
    SELECT k.conrelid, k.conkey[1] AS attnum, count(*) OVER (PARTITION BY k.conrelid) AS key_count
    FROM pg_constraint AS k
    WHERE k.contype = 'f' AND cardinality(k.conkey) = 1 AND k.conparentid = 0
),
pairs AS (
    SELECT c.oid, c.relowner, c.relkind, array_agg(k.attnum ORDER BY k.attnum) AS attnums,
        string_agg(quote_ident(a.attname), ', ' ORDER BY k.attnum) AS column_names
    FROM foreign_keys AS k
    JOIN pg_class AS c ON c.oid = k.conrelid AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND NOT (
            c.relnamespace = ANY ($6) AND pg_get_userbyid(c.relowner) ~ '^supabase_\w*admin$'
        )
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum AND a.attnotnull
    WHERE k.key_count = 2
        -- No other column needs a value, so the pair is the meaning of the row.
        AND NOT EXISTS (
            SELECT FROM pg_attribute AS o
            JOIN foreign_keys AS y ON y.conrelid = c.oid
            WHERE o.attrelid = c.oid AND o.attnum > 0 AND NOT o.attisdropped AND o.attnotnull
                AND NOT o.atthasdef AND o.attidentity = ''
                AND o.attnum NOT IN (
                    SELECT x.attnum
                    FROM foreign_keys AS x
                    WHERE x.conrelid = c.oid
                )
        )
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    GROUP BY c.oid
    HAVING count(DISTINCT k.attnum) = 2
)
SELECT
    'LOW' AS severity, 'SUSPECTED' AS confidence, 'table ' || p.oid::regclass AS object,
    'pg_class'::regclass::oid AS classid, p.oid AS objid, p.oid AS relation,
    format('Each row links %s, and the same pair can be inserted twice.', p.column_names) AS detail,
    format('foreign keys on %s; no unique index contains both columns', p.column_names) AS evidence,
    CASE
        WHEN NOT pg_has_role(p.relowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(p.relowner), E'\n\r', '  '))
        ELSE ''
    END
        || format('CREATE UNIQUE INDEX %sON %s (%s);',
            CASE WHEN p.relkind = 'r' THEN 'CONCURRENTLY ' ELSE '' END, p.oid::regclass,
            p.column_names) AS remediation,
    NULL::text AS cache_key
FROM pairs AS p
WHERE NOT EXISTS (
    SELECT FROM pg_index AS i
    WHERE i.indrelid = p.oid AND i.indisunique AND i.indisvalid AND i.indkey::int2[] @> p.attnums
)
ORDER BY object
LIMIT 200
