-- Foreign key from the application to a key of the authentication service other than its primary
-- key. The next migration of the service may drop or change that key, and fails because of the
-- foreign key.
SELECT
    'LOW' AS severity, 'PROVED' AS confidence,
    format('foreign key "%s" on %s', replace(k.conname, '"', '""'), k.conrelid::regclass) AS object,
    'pg_constraint'::regclass::oid AS classid, k.oid AS objid, k.conrelid AS relation,
    format(
        'The foreign key refers to %s by a key other than the primary key. The authentication '
        'service may change that key.', k.confrelid::regclass) AS detail,
    format('%s; index %s', pg_get_constraintdef(k.oid), k.conindid::regclass) AS evidence,
    CASE
        WHEN NOT pg_has_role(c.relowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(c.relowner), E'\n\r', '  '))
        ELSE ''
    END
        || format('ALTER TABLE %s DROP CONSTRAINT %I;', c.oid::regclass, k.conname) AS remediation,
    format('fkey_to_auth_unique_%s_%s_%s', n.nspname, c.relname, k.conname) AS cache_key
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS u ON u.oid = k.confrelid
    AND u.relnamespace IN (SELECT a.relnamespace FROM pg_class AS a WHERE a.oid = ANY ($3))
JOIN pg_index AS i ON i.indexrelid = k.conindid AND NOT i.indisprimary
WHERE k.contype = 'f' AND k.conparentid = 0 AND c.relnamespace <> u.relnamespace
ORDER BY object
LIMIT 200
