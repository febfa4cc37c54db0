-- A materialised view holds a copy made with the rights of its owner, and cannot have row-level
-- security. If the owner read past row-level security, every reader of the copy gets the rows of
-- all users.
WITH RECURSIVE
views AS (
    SELECT c.oid, c.relkind, c.relowner, c.relname, c.relnamespace
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
),
copies AS (
    SELECT v.oid, v.relowner, v.relname, v.relnamespace,
        string_agg(r.rolname, ', ' ORDER BY r.rolname) AS readers, array_agg(r.oid) AS roles
    FROM views AS v
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND has_any_column_privilege(r.oid, v.oid, 'SELECT')
        AND has_schema_privilege(r.oid, v.relnamespace, 'USAGE')
    WHERE v.relkind = 'm'
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = v.oid AND d.deptype = 'e'
        )
    GROUP BY v.oid, v.relowner, v.relname, v.relnamespace
),
walk AS (
    SELECT m.oid AS copy, m.oid AS relation
    FROM copies AS m
    UNION
    SELECT w.copy, d.refobjid
    FROM walk AS w
    JOIN views AS v ON v.oid = w.relation
    JOIN pg_rewrite AS r ON r.ev_class = v.oid AND r.ev_type = '1'
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'n' AND d.refobjid <> v.oid
),
found AS (
    SELECT m.*, t.table_names, t.relation,
        pg_get_viewdef(m.oid) ~ '\mGROUP BY\M|\m(count|sum|avg|min|max)\(' AS is_aggregate
    FROM copies AS m
    JOIN pg_roles AS o ON o.oid = m.relowner
    CROSS JOIN LATERAL (
        SELECT
            string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid::regclass::text) AS table_names,
            (array_agg(c.oid ORDER BY c.oid::regclass::text))[1] AS relation
        FROM walk AS w
        JOIN pg_class AS c ON c.oid = w.relation AND c.relkind IN ('r', 'p') AND c.relrowsecurity
        WHERE w.copy = m.oid
            AND (
                o.rolsuper OR o.rolbypassrls
                    OR (NOT c.relforcerowsecurity AND pg_has_role(o.oid, c.relowner, 'USAGE')))
    ) AS t
)
SELECT
    CASE
        WHEN f.table_names IS NULL THEN 'INFO'
        WHEN f.relnamespace <> ALL ($5) THEN 'LOW'
        WHEN f.is_aggregate THEN 'MEDIUM'
        ELSE 'HIGH'
    END AS severity,
    CASE
        WHEN f.table_names IS NOT NULL AND NOT f.is_aggregate THEN 'PROVED'
        ELSE 'SUSPECTED'
    END AS confidence,
    'materialized view ' || f.oid::regclass AS object, 'pg_class'::regclass::oid AS classid,
    f.oid AS objid, f.relation,
    CASE
        WHEN f.table_names IS NULL
            THEN 'Client roles read it; the copy was not made past row-level security.'
        WHEN f.is_aggregate THEN format(
            'Client roles read aggregates over all rows of %s, hidden rows included. Check that no '
            'group is a single user.', f.table_names)
        ELSE format(
            'Client roles read a copy of %s that was made past row-level security: the rows of all '
            'users.', f.table_names)
    END AS detail,
    format('SELECT for %s; owner %s', f.readers, pg_get_userbyid(f.relowner)) AS evidence,
    CASE
        -- A grant on columns was made on purpose.
        WHEN f.table_names IS NOT NULL
            AND NOT EXISTS (
                SELECT FROM pg_attribute AS a
                WHERE a.attrelid = f.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped
            ) THEN
            CASE
                WHEN NOT pg_has_role(f.relowner, 'USAGE') THEN
                    format(E'-- as %s:\n', translate(pg_get_userbyid(f.relowner), E'\n\r', '  '))
                ELSE ''
            END
                || format(
                    'REVOKE ALL ON %s FROM PUBLIC, %s;', f.oid::regclass,
                    (
                        SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
                        FROM pg_roles AS r
                        WHERE r.oid = ANY (f.roles)
                    )
                )
    END AS remediation,
    format('materialized_view_in_api_%s_%s', n.nspname, f.relname) AS cache_key
FROM found AS f
JOIN pg_namespace AS n ON n.oid = f.relnamespace
ORDER BY f.table_names IS NULL, f.relnamespace <> ALL ($5), f.is_aggregate, f.oid::regclass::text
LIMIT 200
