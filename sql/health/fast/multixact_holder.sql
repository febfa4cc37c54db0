-- The database with the oldest multixact and, if that is this database, the table. Members are
-- freed when the oldest multixact of all databases is.
WITH
databases AS (
    SELECT d.datname, mxid_age(d.datminmxid) AS age, d.datname = current_database() AS here
    FROM pg_database AS d
    ORDER BY 2 DESC, 3 DESC
    LIMIT 1
),
tables AS (
    SELECT coalesce(m.oid, c.oid)::regclass AS name, mxid_age(c.relminmxid) AS age
    FROM pg_class AS c
    LEFT JOIN pg_class AS m ON c.relkind = 't' AND m.reltoastrelid = c.oid
    WHERE c.relkind IN ('r', 'm', 't') AND (SELECT d.here FROM databases AS d)
    ORDER BY 2 DESC, c.relpages DESC, c.oid
    LIMIT 1
)
SELECT 'WARNING' AS status,
    coalesce('table ' || t.name, 'database ' || d.datname) AS object,
    NULL::text AS current_value, NULL::text AS threshold,
    format('oldest multixact: %s multixacts ago, in database %s', d.age, d.datname)
        || coalesce(', table ' || t.name, '') AS evidence,
    'Without free members, statements that share a row fail, above all inserts below a foreign '
    'key: end old transactions, then freeze the tables with the oldest multixacts.'
        AS recommendation,
    CASE WHEN t.name IS NOT NULL THEN format('VACUUM (FREEZE, VERBOSE) %s;', t.name)
        ELSE format('\connect %I \\ VACUUM (FREEZE, VERBOSE);', d.datname) END AS next_command,
    'now' AS since
FROM databases AS d
LEFT JOIN tables AS t ON true
