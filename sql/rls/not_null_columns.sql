-- $1 tables. Their columns that hold no NULL. A constraint that is not validated does not count.
SELECT a.attrelid, array_agg(a.attnum)
FROM pg_attribute AS a
WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND a.attnotnull
    AND NOT EXISTS (
        SELECT FROM pg_constraint AS k
        WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND NOT k.convalidated
            AND a.attnum = ANY (k.conkey)
    )
GROUP BY a.attrelid
