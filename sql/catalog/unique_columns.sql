-- Columns that are unique alone, by table.
SELECT i.indrelid, i.indkey[0]
FROM pg_catalog.pg_index AS i
WHERE i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 AND i.indkey[0] > 0
    AND i.indpred IS NULL AND i.indexprs IS NULL
