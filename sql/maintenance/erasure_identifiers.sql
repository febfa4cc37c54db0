-- $1 oid: the table of accounts. Its columns that hold e-mail addresses and phone numbers, quoted.
SELECT quote_ident(a.attname)
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND t.typcategory = 'S'
    AND a.attname ~* '^(e_?mail|e_?mail_address|phone|phone_number|new_email|mobile)$'
ORDER BY a.attnum
