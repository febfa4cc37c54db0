-- The rules: table, quoted owner column, type of that column, action, replacements, and the number
-- of rules in all. A rule whose table or column is gone has no oid.
SELECT r.target, coalesce(pg_partition_root(t.oid), t.oid),
    quote_ident(r.owner_column), format_type(a.atttypid, a.atttypmod), r.action,
    r.replacements, r.owner_column IS NULL OR a.attnum IS NOT NULL
FROM crewsnow_ops.erasure_rules AS r
CROSS JOIN LATERAL (SELECT to_regclass(r.target)::oid AS oid) AS t
LEFT JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attname = r.owner_column
    AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY r.target, r.owner_column NULLS FIRST
