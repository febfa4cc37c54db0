-- A foreign key of the application to a unique constraint of the authentication service that is not its primary key: the service's next
-- migration may drop or change the constraint, and fails for it.
SELECT
    'LOW' AS severity, 'PROVED' AS confidence,
    format('foreign key "%s" on %s', replace(k.conname, '"', '""'), k.conrelid::regclass) AS object, 'pg_constraint'::regclass::oid AS classid,
        k.oid AS objid, k.conrelid AS relation,
    format('It refers to %s by another key than the primary key; that key belongs to the authentication service, which may change it.',
        k.confrelid::regclass) AS detail,
    format('%s; by the index %s', pg_get_constraintdef(k.oid), k.conindid::regclass) AS evidence,
    CASE WHEN NOT pg_has_role(c.relowner, 'USAGE') THEN format(E'-- as %s:\n', translate(pg_get_userbyid(c.relowner), E'\n\r', '  ')) ELSE '' END
        || format('ALTER TABLE %s DROP CONSTRAINT %I;', c.oid::regclass, k.conname) AS remediation,
    format('fkey_to_auth_unique_%s_%s_%s', n.nspname, c.relname, k.conname) AS cache_key
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS u ON u.oid = k.confrelid AND u.relnamespace IN (SELECT a.relnamespace FROM pg_class AS a WHERE a.oid = ANY ($3))
JOIN pg_index AS i ON i.indexrelid = k.conindid AND NOT i.indisprimary
WHERE k.contype = 'f' AND k.conparentid = 0 AND c.relnamespace <> u.relnamespace
ORDER BY object
LIMIT 200
