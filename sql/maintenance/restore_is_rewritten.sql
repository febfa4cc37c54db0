-- $1 text: quoted name of a locked table. Whether it has other files than the snapshot knows.
SELECT coalesce(bool_or(c.relfilenode <> pg_catalog.pg_relation_filenode(c.oid)), false)
FROM pg_catalog.pg_class AS c
WHERE c.oid = CASE WHEN $1 ~ '[.]' THEN pg_catalog.to_regclass($1) END
