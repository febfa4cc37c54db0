-- Primary keys, and foreign keys with the referenced table and its columns.
SELECT conrelid, conkey, CASE contype WHEN 'f' THEN confrelid END, confkey
FROM pg_catalog.pg_constraint
WHERE contype IN ('p', 'f') AND conkey IS NOT NULL
