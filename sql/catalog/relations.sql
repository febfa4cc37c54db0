-- Every relation of this database, as relations::each() reports it.
SELECT oid, relkind::pg_catalog.text, relpersistence = 't', relpages, relisshared
FROM pg_catalog.pg_class
