-- ON DELETE actions of foreign keys run as the owner of the referencing table, past row-level
-- security. A client role that may delete a parent row thereby deletes or changes child rows that
-- no policy lets it touch.
WITH
deletable_tables AS (
    SELECT c.oid, r.oid AS client, r.rolname
    FROM pg_class AS c
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND has_table_privilege(r.oid, c.oid, 'DELETE')
        AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
    WHERE c.relkind IN ('r', 'p')
        AND (
            NOT c.relrowsecurity
                OR EXISTS (
                    SELECT FROM pg_policy AS p
                    WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('d', '*')
                        AND (
                            0 = ANY (p.polroles)
                                OR EXISTS (
                                    SELECT FROM unnest(p.polroles) AS t (oid)
                                    WHERE t.oid <> 0 AND pg_has_role(r.oid, t.oid, 'USAGE')
                                )
                        )
                )
        )
),
foreign_keys AS (
    SELECT k.oid, k.conname, k.conrelid, k.confrelid, k.confdeltype, k.conkey, c.relowner,
        string_agg(d.rolname, ', ' ORDER BY d.rolname) AS clients,
        bool_and(
            CASE k.confdeltype
                WHEN 'c' THEN EXISTS (
                    SELECT FROM deletable_tables AS x
                    WHERE x.oid = k.conrelid AND x.client = d.client
                )
                ELSE (
                    SELECT bool_and(has_column_privilege(d.client, k.conrelid, u.attnum, 'UPDATE'))
                    FROM unnest(k.conkey) AS u (attnum)
                )
            END
        ) AS is_allowed_directly,
        (
            SELECT bool_or(o.attnum = ANY (k.conkey))
            FROM crewsnow_ops.rls_owner_columns() AS o
            WHERE o.relation = k.conrelid
        ) IS TRUE AS is_owner_column
    FROM pg_constraint AS k
    JOIN pg_class AS c ON c.oid = k.conrelid AND c.relrowsecurity
        AND NOT (
            c.relnamespace = ANY ($6) AND pg_get_userbyid(c.relowner) ~ '^supabase_\w*admin$'
        )
    JOIN deletable_tables AS d ON d.oid = k.confrelid
    WHERE k.contype = 'f' AND k.confdeltype IN ('c', 'n', 'd') AND k.conrelid <> k.confrelid
        AND k.conparentid = 0
        AND NOT EXISTS (
            SELECT FROM pg_depend AS e
            WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e'
        )
    GROUP BY k.oid, c.relowner
)
SELECT
    CASE WHEN k.is_allowed_directly OR k.is_owner_column THEN 'INFO' ELSE 'MEDIUM' END AS severity,
    CASE
        WHEN k.is_allowed_directly OR k.is_owner_column THEN 'SUSPECTED'
        ELSE 'PROVED'
    END AS confidence,
    format('foreign key "%s" on %s', replace(k.conname, '"', '""'), k.conrelid::regclass) AS object,
    'pg_constraint'::regclass::oid AS classid, k.oid AS objid, k.conrelid AS relation,
    format(
        'A client role that deletes a row of %s also %s the rows of %s that refer to it, past '
        'their policies.', k.confrelid::regclass,
        CASE k.confdeltype WHEN 'c' THEN 'deletes' ELSE 'changes' END, k.conrelid::regclass)
        || CASE
            WHEN k.is_allowed_directly
                THEN ' Client roles may do the same to some of these rows directly.'
            WHEN k.is_owner_column THEN ' The rows belong to the same user.'
            ELSE ' No client role may do that directly.'
        END AS detail,
    format('ON DELETE %s; DELETE on %s: %s',
        CASE k.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE 'SET DEFAULT' END,
        k.confrelid::regclass, k.clients) AS evidence,
    CASE
        WHEN NOT k.is_allowed_directly AND NOT k.is_owner_column THEN
            CASE
                WHEN NOT pg_has_role(k.relowner, 'USAGE') THEN
                    format(E'-- as %s:\n', translate(pg_get_userbyid(k.relowner), E'\n\r', '  '))
                ELSE ''
            END
                || format(
                    E'ALTER TABLE %1$s DROP CONSTRAINT %2$I,\n    ADD CONSTRAINT %2$I %3$s;',
                    k.conrelid::regclass, k.conname,
                    regexp_replace(pg_get_constraintdef(k.oid),
                        ' ON DELETE (CASCADE|SET NULL|SET DEFAULT)( \([^)]*\))?', ''))
    END AS remediation,
    NULL::text AS cache_key
FROM foreign_keys AS k
ORDER BY k.is_allowed_directly OR k.is_owner_column, object
LIMIT 200
