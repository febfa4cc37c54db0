-- $1 oid: a table, $2 jsonb: its columns and their new values, $3 text: the time column. The type
-- of each column, and the reason why the value does not fit; NULL where it does.
SELECT r.column_name, format_type(a.atttypid, a.atttypmod), r.new_value,
    CASE WHEN a.attnum IS NULL THEN 'missing'
        WHEN EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = $1 AND i.indisprimary
            AND a.attnum = ANY (i.indkey::smallint[])) THEN 'is a part of the primary key'
        WHEN r.column_name = $3 THEN 'is the time column'
        WHEN a.attgenerated <> '' OR a.attidentity = 'a' THEN 'is generated'
        WHEN r.new_value IS NULL AND a.attnotnull THEN 'is NOT NULL'
        WHEN r.new_value IS NOT NULL AND EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = $1
            AND i.indisunique AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
            THEN 'is unique, so that only null can replace several values'
    END
FROM jsonb_each_text($2) AS r (column_name, new_value)
LEFT JOIN pg_attribute AS a ON a.attrelid = $1 AND a.attname = r.column_name AND a.attnum > 0
    AND NOT a.attisdropped
ORDER BY 1
