-- $1 names of roles, $2 identity functions, $3 the table of accounts: what exists of them; the accounts' key; and the search_path that sessions
-- begin with.
SELECT
    (SELECT array_agg(r.oid ORDER BY w.place) FROM unnest($1) WITH ORDINALITY AS w (name, place) JOIN pg_roles AS r ON r.rolname = w.name) AS roles,
    (SELECT array_agg(r.rolname::text ORDER BY w.place) FROM unnest($1) WITH ORDINALITY AS w (name, place) JOIN pg_roles AS r ON r.rolname = w.name) AS names,
    (SELECT array_agg(to_regprocedure(w.name)::oid ORDER BY w.place) FILTER (WHERE to_regprocedure(w.name) IS NOT NULL)
        FROM unnest($2) WITH ORDINALITY AS w (name, place)) AS functions,
    (SELECT to_regprocedure(w.name)::oid::regprocedure::text FROM unnest($2) WITH ORDINALITY AS w (name, place) WHERE w.place = 1) AS identity,
    u.relid AS users, u.name, u.key, u.key_type,
    (SELECT s.reset_val FROM pg_settings AS s WHERE s.name = 'search_path') AS search_path
FROM (VALUES (1)) AS one (row)
LEFT JOIN LATERAL (
    SELECT c.oid AS relid, format('%I.%I', n.nspname, c.relname) AS name, a.attname::text AS key, a.atttypid AS key_type
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_constraint AS k ON k.conrelid = c.oid AND k.contype = 'p' AND cardinality(k.conkey) = 1
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
    WHERE c.oid = to_regclass(nullif($3, '')) AND c.relkind IN ('r', 'p')
        -- A type of the server's own: nobody else's code is run to compare keys or to write them.
        AND a.atttypid < 16384
) AS u ON true
