-- $1 functions. The tables that their bodies name after FROM or JOIN, each with its columns that
-- the body names. Comments are removed first.
SELECT b.oid, c.oid, array_agg(DISTINCT a.attnum)
FROM (
    SELECT p.oid, regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc),
        '--[^\n]*|/\*([^*]|\*+[^*/])*\*+/', ' ', 'g') AS body
    FROM pg_proc AS p
    WHERE p.oid = ANY ($1)
) AS b
CROSS JOIN LATERAL regexp_matches(b.body,
    '\m(?:from|join)\s+(?:("?[\w$]+"?)\s*\.\s*)?"?([\w$]+)"?', 'gi') AS m
JOIN pg_class AS c ON c.relname IN (m[2], lower(m[2])) AND c.relkind IN ('r', 'p')
JOIN pg_namespace AS n ON n.oid = c.relnamespace
    AND (m[1] IS NULL OR n.nspname = trim('"' FROM m[1]))
    AND n.nspname NOT IN ('pg_catalog', 'information_schema')
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    AND b.body ~* ('\m' || regexp_replace(a.attname, '\W', '.', 'g') || '\M')
GROUP BY b.oid, c.oid
ORDER BY 1, 2
