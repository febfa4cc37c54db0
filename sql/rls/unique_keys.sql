-- $1 a table. The columns of its unique keys, without those that are partial or on expressions.
SELECT (string_to_array(i.indkey::text, ' ')::int2[])[1:i.indnkeyatts]
FROM pg_index AS i
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
    AND i.indexprs IS NULL
ORDER BY i.indexrelid
