-- A table and all tables that it references, directly or through others.
WITH RECURSIVE referenced AS (
    SELECT $1::pg_catalog.oid AS relation
    UNION
    SELECT c.confrelid
    FROM referenced AS r
    JOIN pg_catalog.pg_constraint AS c ON c.conrelid = r.relation AND c.contype = 'f'
)
SELECT pg_catalog.array_agg(r.relation)
FROM referenced AS r
