-- Columns of all relations with one of these names, and the index of the name in the list.
SELECT a.attrelid, a.attnum, a.atttypid, (n.place - 1)::pg_catalog.int4
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY AS n (name, place)
    ON n.name::pg_catalog.name = a.attname
WHERE NOT a.attisdropped
