-- Table without row-level security on which client roles have privileges: the grant is the only
-- protection, and every holder of the public key passes it. Tables with policies: see
-- policies-without-rls. Children of protected parents: see partition-without-rls.
WITH
reached AS (
    SELECT c.oid, c.relkind, c.relname, c.relowner, c.relnamespace, c.oid::regclass::text AS name,
        array_agg(r.oid ORDER BY r.rolname) AS roles,
        string_agg(format('%s %s', r.rolname, p.privileges), '; ' ORDER BY r.rolname) AS grants,
        bool_or(p.privileges ~ 'SELECT') AS can_read,
        bool_or(p.privileges ~ 'INSERT|UPDATE|DELETE') AS can_write
    FROM pg_class AS c
    JOIN pg_roles AS r ON r.oid = ANY ($1)
    CROSS JOIN LATERAL (
        SELECT concat_ws(
            ', ',
            CASE
                WHEN has_table_privilege(r.oid, c.oid, 'SELECT') THEN 'SELECT'
                WHEN has_any_column_privilege(r.oid, c.oid, 'SELECT') THEN 'SELECT (columns)'
            END,
            CASE
                WHEN has_table_privilege(r.oid, c.oid, 'INSERT') THEN 'INSERT'
                WHEN has_any_column_privilege(r.oid, c.oid, 'INSERT') THEN 'INSERT (columns)'
            END,
            CASE
                WHEN has_table_privilege(r.oid, c.oid, 'UPDATE') THEN 'UPDATE'
                WHEN has_any_column_privilege(r.oid, c.oid, 'UPDATE') THEN 'UPDATE (columns)'
            END,
            CASE WHEN has_table_privilege(r.oid, c.oid, 'DELETE') THEN 'DELETE' END) AS privileges
    ) AS p
    WHERE c.relkind IN ('r', 'p') AND NOT c.relrowsecurity AND c.relpersistence <> 't'
        AND p.privileges <> ''
        AND NOT (
            c.relnamespace = ANY ($6) AND pg_get_userbyid(c.relowner) ~ '^supabase_\w*admin$'
        )
        AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
        AND NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid)
    GROUP BY c.oid
),
-- With exactly one owner column, the remediation proposes a policy that keeps own rows in reach.
owner_columns AS (
    SELECT o.relation, min(a.attname) AS attname, min(a.atttypid::bigint) AS type
    FROM (
        SELECT DISTINCT o.relation, o.attnum, o.basis
        FROM crewsnow_ops.rls_owner_columns() AS o
    ) AS o
    JOIN pg_attribute AS a ON a.attrelid = o.relation AND a.attnum = o.attnum
    WHERE o.basis <> 'name'
    GROUP BY o.relation
    HAVING count(DISTINCT o.attnum) = 1
),
identity_functions AS (
    SELECT p.prorettype AS type, min(format('%I.%I()', n.nspname, p.proname)) AS call
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    -- auth.role() and auth.email() also return text, but not the id of the user.
    WHERE p.oid = ANY ($2) AND p.pronargs = 0 AND p.proname !~* 'role|mail|jwt'
    GROUP BY p.prorettype
    HAVING count(*) = 1
)
SELECT
    CASE WHEN t.relnamespace = ANY ($5) THEN 'CRITICAL' ELSE 'MEDIUM' END AS severity,
    'PROVED' AS confidence, 'table ' || t.name AS object, 'pg_class'::regclass::oid AS classid,
    t.oid AS objid, t.oid AS relation,
    format(
        'Row-level security is off: client roles can %s any row.',
        CASE
            WHEN t.can_read AND t.can_write THEN 'read and write'
            WHEN t.can_read THEN 'read'
            ELSE 'write'
        END
    )
        || CASE
            WHEN t.relnamespace = ANY ($5) THEN ''
            ELSE ' The schema is not exposed at present.'
        END AS detail,
    t.grants AS evidence,
    CASE
        WHEN NOT pg_has_role(t.relowner, 'USAGE')
            THEN format(E'-- as %s:\n', translate(pg_get_userbyid(t.relowner), E'\n\r', '  '))
        ELSE ''
    END
        || format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', t.name)
        || CASE
            WHEN i.call IS NULL THEN
                E'\n-- Then create a policy for each role that needs access; without one it sees '
                'no row.'
            ELSE format(
                E'\nCREATE POLICY "Users manage their own rows" ON %1$s TO %2$s\n    USING (%3$I = '
                '(SELECT %4$s)) WITH CHECK (%3$I = (SELECT %4$s));', t.name,
                (
                    SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
                    FROM pg_roles AS r
                    WHERE r.oid = ANY (t.roles)
                ),
                o.attname, i.call)
        END AS remediation,
    CASE
        WHEN n.nspname <> 'pgmq' OR t.relname NOT LIKE 'q\_%'
            THEN format('rls_disabled_in_public_%s_%s', n.nspname, t.relname)
    END AS cache_key
FROM reached AS t
JOIN pg_namespace AS n ON n.oid = t.relnamespace
LEFT JOIN owner_columns AS o ON o.relation = t.oid
LEFT JOIN identity_functions AS i ON i.type = o.type
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
    AND NOT (n.nspname = 'pgmq' AND t.relname LIKE 'q\_%')
    AND NOT EXISTS (
        WITH RECURSIVE
        ancestors AS (
            SELECT h.inhparent
            FROM pg_inherits AS h
            WHERE h.inhrelid = t.oid
            UNION
            SELECT h.inhparent
            FROM ancestors AS a
            JOIN pg_inherits AS h ON h.inhrelid = a.inhparent
        )
        SELECT FROM ancestors AS a
        JOIN pg_class AS c ON c.oid = a.inhparent
        WHERE c.relrowsecurity
    )
ORDER BY t.relnamespace <> ALL ($5), NOT t.can_read, NOT t.can_write, t.name
LIMIT 200
