-- $1 functions. The tables that the text of each function names, or that of functions it calls, in
-- the order of the text, with their columns: name, type, kind as in functions.sql, and whether the
-- column names the owner of a row. Other words of the text may match, too.
WITH RECURSIVE
bodies AS MATERIALIZED (
    SELECT p.oid, p.proname,
        regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc),
            '--[^\n]*|/\*([^*]|\*+[^*/])*\*+/', ' ', 'g') AS body
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname IN ('sql', 'plpgsql')
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
),
called AS (
    SELECT b.oid AS function, b.oid AS body, 1 AS depth
    FROM bodies AS b
    WHERE b.oid = ANY ($1)
    UNION
    SELECT c.function, b.oid, c.depth + 1
    FROM called AS c
    JOIN bodies AS a ON a.oid = c.body
    CROSS JOIN LATERAL regexp_matches(a.body, '([\w$]+)"?\s*\(', 'g') AS m
    JOIN bodies AS b ON b.proname = m[1] AND b.oid <> a.oid
    WHERE c.depth < 3
),
words AS (
    SELECT c.function, w.m[1] AS word, min(10000 * c.depth + w.place) AS place
    FROM called AS c
    JOIN bodies AS b ON b.oid = c.body
    CROSS JOIN LATERAL regexp_matches(b.body, '[\w$]+', 'g') WITH ORDINALITY AS w (m, place)
    GROUP BY c.function, w.m[1]
),
named AS (
    SELECT w.function, c.oid AS relation, min(w.place) AS place
    FROM words AS w
    JOIN pg_class AS c ON c.relname IN (w.word, lower(w.word)) AND c.relkind IN ('r', 'p')
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'crewsnow_ops')
        AND n.nspname !~ '^pg_(toast|temp)'
    GROUP BY w.function, c.oid
)
SELECT
    f.function, c.oid AS relation, format('%I.%I', n.nspname, c.relname) AS name, a.names, a.types,
    a.kinds, a.are_owners
FROM named AS f
JOIN pg_class AS c ON c.oid = f.relation
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY a.attnum) AS names,
        array_agg(b.oid ORDER BY a.attnum) AS types,
        array_agg(
            CASE
                WHEN b.typcategory = 'S' THEN 'text'
                WHEN b.oid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN 'int'
                ELSE b.oid::text
            END
            ORDER BY a.attnum) AS kinds,
        array_agg(
            EXISTS (
                SELECT FROM crewsnow_ops.rls_owner_columns() AS o
                WHERE o.relation = a.attrelid AND o.attnum = a.attnum
            )
            ORDER BY a.attnum) AS are_owners
    FROM pg_attribute AS a
    JOIN pg_type AS t ON t.oid = a.atttypid
    JOIN pg_type AS b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
) AS a
WHERE a.names IS NOT NULL
ORDER BY f.function, f.place, c.oid
