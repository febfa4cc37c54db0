-- $1 feature_flags, $2 columns to leave out
SELECT quote_ident(a.attname)
FROM pg_attribute AS a
WHERE a.attrelid = $1
    AND a.attnum > 0
    AND NOT a.attisdropped
    AND a.attgenerated = ''
    AND a.attname <> ALL ($2)
ORDER BY a.attnum
