-- Unique and foreign keys are checked past row-level security: their errors tell a client role
-- whether a hidden row exists. This matters for values that can be guessed, such as addresses,
-- names and numbers. Random UUIDs cannot be guessed. A row that the writer may read is not hidden.
WITH
writers AS (
    SELECT c.oid, r.oid AS client, r.rolname, p.polcmd
    FROM pg_class AS c
    JOIN pg_policy AS p ON p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('a', 'w', '*')
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
        AND EXISTS (
            SELECT FROM unnest(p.polroles) AS t (oid)
            WHERE t.oid = 0 OR pg_has_role(r.oid, t.oid, 'USAGE')
        )
    WHERE c.relrowsecurity
    UNION ALL
    SELECT c.oid, r.oid, r.rolname, '*'
    FROM pg_class AS c
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
    WHERE c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
        AND EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype = 'f')
),
open_reads AS (
    SELECT DISTINCT p.polrelid AS relation, r.oid AS client
    FROM pg_policy AS p
    JOIN pg_class AS c ON c.oid = p.polrelid
    JOIN crewsnow_ops.rls_policy_facts() AS f ON f.policy = p.oid AND f.clause = 'using'
        AND f.constant = 'true'
    JOIN pg_roles AS r ON r.oid = ANY ($1)
        AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
        AND has_table_privilege(r.oid, p.polrelid, 'SELECT')
        AND EXISTS (
            SELECT FROM unnest(p.polroles) AS t (oid)
            WHERE t.oid = 0 OR pg_has_role(r.oid, t.oid, 'USAGE')
        )
    WHERE p.polpermissive AND p.polcmd IN ('r', '*')
        AND NOT EXISTS (
            SELECT FROM pg_policy AS o
            WHERE o.polrelid = p.polrelid AND NOT o.polpermissive AND o.polcmd IN ('r', '*')
        )
),
owners AS (
    SELECT DISTINCT o.relation, o.attnum
    FROM crewsnow_ops.rls_owner_columns() AS o
),
-- A key of several columns is as hard to guess as its hardest column.
keys AS (
    SELECT 'unique index' AS kind, x.relname AS name, 'pg_class'::regclass::oid AS classid,
        i.indexrelid AS objid, i.indrelid AS relation, i.indrelid AS hidden_relation, a.columns
    FROM pg_index AS i
    JOIN pg_class AS x ON x.oid = i.indexrelid
    JOIN pg_class AS c ON c.oid = i.indrelid AND c.relrowsecurity
        AND NOT (
            c.relnamespace = ANY ($6) AND pg_get_userbyid(c.relowner) ~ '^supabase_\w*admin$'
        )
    CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT u.attnum) AS columns
        FROM (
            SELECT k.attnum
            FROM unnest(i.indkey::int2[]) AS k (attnum)
            WHERE k.attnum > 0
            UNION ALL
            SELECT d.refobjsubid::int2
            FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
                AND d.refobjsubid > 0
        ) AS u
    ) AS a
    WHERE i.indisunique AND NOT i.indisprimary AND NOT x.relispartition
    UNION ALL
    SELECT 'foreign key', k.conname, 'pg_constraint'::regclass::oid, k.oid, k.conrelid, k.confrelid,
        k.conkey
    FROM pg_constraint AS k
    JOIN pg_class AS c ON c.oid = k.conrelid
    JOIN pg_class AS p ON p.oid = k.confrelid AND p.relrowsecurity
    WHERE k.contype = 'f' AND k.conparentid = 0
),
found AS (
    SELECT k.*, string_agg(DISTINCT w.rolname, ', ') AS clients, n.names,
        n.is_text
            AND n.names ~*
                'mail|phone|mobile|user_?name|login|handle|nick|ssn|passport|iban|tax|vat|plate'
                '|card|domain|token|code' AS is_guessable
    FROM keys AS k
    JOIN writers AS w ON w.oid = k.relation
        AND (
            w.polcmd IN ('a', '*')
                AND (
                    SELECT bool_and(has_column_privilege(w.client, k.relation, u.attnum, 'INSERT'))
                    FROM unnest(k.columns) AS u (attnum)
                )
                OR w.polcmd IN ('w', '*')
                    AND (
                        SELECT
                            bool_or(has_column_privilege(w.client, k.relation, u.attnum, 'UPDATE'))
                        FROM unnest(k.columns) AS u (attnum)
                    )
        )
    CROSS JOIN LATERAL (
        SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) AS names,
            bool_or(a.atttypid = 'uuid'::regtype) AS is_random,
            bool_and(y.typcategory = 'S' OR a.atttypid = 'inet'::regtype) AS is_text
        FROM pg_attribute AS a
        JOIN pg_type AS y ON y.oid = a.atttypid
        WHERE a.attrelid = k.relation AND a.attnum = ANY (k.columns)
    ) AS n
    WHERE NOT n.is_random
        AND NOT EXISTS (
            SELECT FROM open_reads AS o
            WHERE o.relation = k.hidden_relation AND o.client = w.client
        )
        AND NOT EXISTS (
            SELECT FROM owners AS o
            WHERE o.relation = k.relation AND o.attnum = ANY (k.columns)
        )
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = k.relation AND d.deptype = 'e'
        )
    GROUP BY k.kind, k.name, k.classid, k.objid, k.relation, k.hidden_relation, k.columns, n.names,
        n.is_text
),
labelled AS (
    SELECT f.*,
        format('%s "%s" on %s', f.kind, replace(f.name, '"', '""'), f.relation::regclass) AS object
    FROM found AS f
)
SELECT
    CASE WHEN f.is_guessable THEN 'MEDIUM' ELSE 'INFO' END AS severity,
    CASE WHEN f.is_guessable THEN 'PROVED' ELSE 'SUSPECTED' END AS confidence, f.object, f.classid,
    f.objid, f.hidden_relation AS relation,
    format(
        'A client role that writes %s learns from the error whether %s has a row with that value, '
        'even if policies hide the row.', f.names, f.hidden_relation::regclass) AS detail,
    format(
        '%s; written by %s',
        CASE f.kind
            WHEN 'foreign key' THEN pg_get_constraintdef(f.objid)
            ELSE pg_get_indexdef(f.objid)
        END,
        f.clients) AS evidence,
    NULL::text AS remediation, NULL::text AS cache_key
FROM labelled AS f
ORDER BY NOT f.is_guessable, f.object
LIMIT 200
