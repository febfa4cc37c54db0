-- $1 user id. Counts the results of a function about the user that are neither NULL, false, zero
-- nor empty. @function@ is a qualified name.
SELECT pg_catalog.count(*)
FROM (SELECT pg_catalog.to_jsonb(r) AS result FROM @function@($1) AS r LIMIT 1000) AS s
WHERE s.result IS NOT NULL
    AND s.result OPERATOR(pg_catalog.<>) ALL (
        ARRAY['null', 'false', '0', '""', '[]', '{}']::pg_catalog.jsonb[]
    )
