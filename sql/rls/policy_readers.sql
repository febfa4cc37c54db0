-- $1 table, $2 identity functions. The objects whose rows or results depend on the policies of the
-- table: tables with policies that read it, views and functions, directly or through each other. A
-- function depends on the names in its text. Views and functions that run as an exempt owner are
-- left out.
WITH RECURSIVE
target AS (
    SELECT c.relowner, c.relforcerowsecurity
    FROM pg_class AS c
    WHERE c.oid = $1
),
exempt_roles AS MATERIALIZED (
    SELECT r.oid
    FROM pg_roles AS r
    CROSS JOIN target AS t
    WHERE r.rolsuper OR r.rolbypassrls
        OR (NOT t.relforcerowsecurity AND pg_has_role(r.oid, t.relowner, 'USAGE'))
),
functions AS MATERIALIZED (
    SELECT p.oid, p.prosrc
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname NOT IN ('c', 'internal')
    WHERE p.oid <> ALL ($2)
        AND NOT (p.prosecdef AND p.proowner IN (SELECT e.oid FROM exempt_roles AS e))
),
views AS MATERIALIZED (
    SELECT c.oid
    FROM pg_class AS c
    WHERE c.relkind = 'v'
        AND (
            c.relowner NOT IN (SELECT e.oid FROM exempt_roles AS e)
                OR EXISTS (
                    SELECT FROM pg_options_to_table(c.reloptions) AS o
                    WHERE o.option_name = 'security_invoker' AND o.option_value::bool
                )
        )
),
affected (class, object) AS (
    SELECT 'pg_class'::regclass::oid, $1::oid
    UNION
    SELECT r.class, r.object
    FROM affected AS a
    CROSS JOIN LATERAL (
        -- A relation after FROM, JOIN or a comma; a function before its arguments.
        SELECT CASE
            WHEN c.oid IS NOT NULL THEN
                format('(\m(from|join)\s+(only\s+)?|,\s*)((\w+|"[^"]+")\s*\.\s*)?(%s)(\W|$)',
                    n.names)
            ELSE format('(^|[^\w"])(%s)\s*\(', n.names)
        END AS pattern
        FROM (SELECT) AS one
        LEFT JOIN pg_class AS c ON a.class = 'pg_class'::regclass AND c.oid = a.object
        LEFT JOIN pg_proc AS p ON a.class = 'pg_proc'::regclass AND p.oid = a.object
        CROSS JOIN LATERAL (
            SELECT string_agg(regexp_replace(u.name, '\W', '\\\&', 'g'), '|') AS names
            FROM (
                SELECT coalesce(c.relname, p.proname)::text
                UNION ALL
                SELECT quote_ident(coalesce(c.relname, p.proname))
                UNION ALL
                SELECT '"' || coalesce(c.relname, p.proname) || '"'
            ) AS u (name)
        ) AS n
    ) AS o
    CROSS JOIN LATERAL (
        SELECT 'pg_class'::regclass::oid, coalesce(v.oid, l.polrelid)
        FROM pg_depend AS d
        LEFT JOIN pg_rewrite AS w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
        LEFT JOIN views AS v ON v.oid = w.ev_class
        LEFT JOIN pg_policy AS l ON d.classid = 'pg_policy'::regclass AND l.oid = d.objid
        WHERE d.refclassid = a.class AND d.refobjid = a.object
            AND d.classid IN ('pg_rewrite'::regclass, 'pg_policy'::regclass)
            AND coalesce(v.oid, l.polrelid) IS NOT NULL
        UNION ALL
        SELECT 'pg_proc'::regclass::oid, f.oid
        FROM functions AS f
        WHERE f.prosrc ~* o.pattern
            OR EXISTS (
                SELECT FROM pg_depend AS d
                WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid
                    AND d.refclassid = a.class AND d.refobjid = a.object
            )
    ) AS r (class, object)
)
SELECT a.object, c.relkind IN ('r', 'p') IS TRUE AS is_table
FROM affected AS a
LEFT JOIN pg_class AS c ON a.class = 'pg_class'::regclass AND c.oid = a.object
