-- View or materialised view through which client roles read the users table of the authentication
-- service: addresses, phone numbers, hashes. Nested views are followed as in definer-view.
WITH RECURSIVE
views AS (
    SELECT c.oid, c.relkind, c.relowner, c.relname, c.relnamespace,
        c.relkind = 'v'
            AND EXISTS (
                SELECT FROM pg_options_to_table(c.reloptions) AS o
                WHERE o.option_name = 'security_invoker' AND o.option_value::bool
            ) AS is_invoker
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
),
reads AS (
    SELECT r.ev_class AS view, d.refobjid AS relation,
        array_agg(DISTINCT d.refobjsubid::int2) FILTER (WHERE d.refobjsubid > 0) AS columns
    FROM pg_rewrite AS r
    JOIN views AS v ON v.oid = r.ev_class
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'n'
    WHERE r.ev_type = '1' AND d.refobjid <> r.ev_class
    GROUP BY r.ev_class, d.refobjid
),
grants AS (
    SELECT v.oid, r.oid AS client, r.rolname, p.privileges
    FROM views AS v
    JOIN pg_roles AS r ON r.oid = ANY ($1)
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN has_any_column_privilege(r.oid, v.oid, 'SELECT') THEN 'SELECT'
            END AS privileges
    ) AS p
    WHERE p.privileges <> '' AND has_schema_privilege(r.oid, v.relnamespace, 'USAGE')
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = v.oid AND d.deptype = 'e'
        )
),
-- Views that a query of the entry opens. The content of a materialised view is not checked again.
opened AS (
    SELECT DISTINCT g.oid AS entry, g.oid AS view
    FROM grants AS g
    JOIN views AS v ON v.oid = g.oid AND v.relkind = 'v'
    UNION
    SELECT o.entry, r.relation
    FROM opened AS o
    JOIN reads AS r ON r.view = o.view
    JOIN views AS v ON v.oid = r.relation AND v.relkind = 'v'
),
-- The server checks the privileges on each relation, as the owner of the view that names it or as
-- the caller if that is an invoker view. One missing privilege denies the whole query, and
-- BYPASSRLS is no privilege.
denied AS (
    SELECT DISTINCT g.oid AS entry, g.client
    FROM grants AS g
    JOIN opened AS o ON o.entry = g.oid
    JOIN views AS v ON v.oid = o.view
    JOIN reads AS r ON r.view = o.view
    JOIN pg_class AS t ON t.oid = r.relation AND t.relkind IN ('r', 'p', 'f', 'v', 'm')
    CROSS JOIN LATERAL (
        SELECT CASE WHEN v.is_invoker THEN g.client ELSE v.relowner END AS oid
    ) AS u
    WHERE NOT CASE
            WHEN r.columns IS NULL THEN has_any_column_privilege(u.oid, t.oid, 'SELECT')
            ELSE (
                SELECT bool_and(has_column_privilege(u.oid, t.oid, c.attnum, 'SELECT'))
                FROM unnest(r.columns) AS c (attnum)
            )
        END
        AND NOT (
            g.privileges ~ 'INSERT|UPDATE|DELETE'
                AND (
                    has_any_column_privilege(u.oid, t.oid, 'INSERT, UPDATE')
                        OR has_table_privilege(u.oid, t.oid, 'DELETE')
                )
        )
),
entries AS (
    SELECT g.oid,
        string_agg(format('%s %s', g.rolname, g.privileges), '; ' ORDER BY g.rolname) AS grants,
        array_agg(g.client ORDER BY g.rolname) AS roles
    FROM grants AS g
    WHERE NOT EXISTS (SELECT FROM denied AS d WHERE d.entry = g.oid AND d.client = g.client)
    GROUP BY g.oid
),
reached AS (
    SELECT e.oid AS view
    FROM entries AS e
    UNION
    SELECT r.relation
    FROM reached AS x
    JOIN reads AS r ON r.view = x.view
    JOIN views AS v ON v.oid = r.relation
),
-- Views whose row condition checks the identity: by an identity function, by a function that calls
-- one, or by the session.
identity_checking_views AS (
    SELECT v.oid
    FROM views AS v
    WHERE v.oid IN (SELECT r.view FROM reached AS r)
        AND pg_get_viewdef(v.oid) ~ (
            '\m(WHERE|ON|HAVING)\M.*\m(CURRENT_USER|SESSION_USER|current_setting\(''[^'']*\.'
                || coalesce(
                    '|('
                        || (
                            SELECT string_agg(f.proname, '|')
                            FROM pg_rewrite AS r
                            JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass
                                AND d.objid = r.oid AND d.refclassid = 'pg_proc'::regclass
                            JOIN pg_proc AS f ON f.oid = d.refobjid
                            WHERE r.ev_class = v.oid AND f.proname ~ '^\w+$'
                                AND (
                                    f.oid = ANY ($2)
                                        OR coalesce(pg_get_function_sqlbody(f.oid), f.prosrc) ~ (
                                            SELECT concat_ws(
                                                '|', '\mcurrent_setting\s*\(',
                                                string_agg(
                                                    format(
                                                        '\m"?%s"?\."?%s"?\s*\(',
                                                        regexp_replace(n.nspname, '\W', '\\\&',
                                                            'g'),
                                                        regexp_replace(i.proname, '\W', '\\\&',
                                                            'g')), '|'))
                                            FROM pg_proc AS i
                                            JOIN pg_namespace AS n ON n.oid = i.pronamespace
                                            WHERE i.oid = ANY ($2)
                                        )
                                )
                        )
                        || ')\(',
                    '') || ')')
),
-- Each view once per combination of flags, not once per path: there may be billions of paths. The
-- condition of a materialised view was evaluated when it was refreshed, so it protects no row now.
walk AS (
    SELECT e.oid AS entry, e.oid AS view,
        e.oid IN (SELECT a.oid FROM identity_checking_views AS a) AS checks_identity,
        v.relkind = 'm' AS is_materialized
    FROM entries AS e
    JOIN views AS v ON v.oid = e.oid
    UNION
    SELECT w.entry, r.relation,
        w.checks_identity OR r.relation IN (SELECT a.oid FROM identity_checking_views AS a),
        w.is_materialized OR v.relkind = 'm'
    FROM walk AS w
    JOIN reads AS r ON r.view = w.view
    JOIN views AS v ON v.oid = r.relation
),
base_tables AS (
    SELECT w.entry, v.oid AS responsible_view, t.oid AS relation,
        w.checks_identity AND NOT w.is_materialized AS checks_identity,
        (
            SELECT array_agg(DISTINCT a.attname::text ORDER BY a.attname::text)
            FROM pg_rewrite AS r
            JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.refobjsubid > 0
            JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
            WHERE r.ev_class = v.oid
        ) AS columns
    FROM walk AS w
    JOIN views AS v ON v.oid = w.view AND NOT v.is_invoker
    JOIN pg_roles AS o ON o.oid = v.relowner
    JOIN reads AS r ON r.view = w.view
    JOIN pg_class AS t ON t.oid = r.relation AND t.oid = ANY ($3)
    WHERE v.relkind = 'm' OR NOT t.relrowsecurity OR o.rolsuper OR o.rolbypassrls
        OR (NOT t.relforcerowsecurity AND pg_has_role(v.relowner, t.relowner, 'USAGE'))
),
ranked AS (
    SELECT l.*,
        CASE
            WHEN l.checks_identity THEN 3
            WHEN l.columns <@ ARRAY['id', 'created_at', 'updated_at'] THEN 2
            ELSE 1
        END AS rank
    FROM base_tables AS l
),
worst AS (
    SELECT r.entry, min(r.rank) AS rank,
        (array_agg(r.relation ORDER BY r.rank, r.relation::regclass::text))[1] AS relation,
        string_agg(DISTINCT r.relation::regclass::text, ', ') AS tables,
        string_agg(DISTINCT array_to_string(r.columns, ', '), ', ') AS columns,
        array_agg(DISTINCT r.responsible_view) AS responsible_views
    FROM ranked AS r
    WHERE r.rank = (SELECT min(m.rank) FROM ranked AS m WHERE m.entry = r.entry)
    GROUP BY r.entry
)
SELECT
    CASE
        WHEN w.rank = 3 THEN 'LOW'
        WHEN w.rank = 2 OR v.relnamespace <> ALL ($5) THEN 'MEDIUM'
        ELSE 'CRITICAL'
    END AS severity,
    CASE WHEN w.rank = 3 THEN 'SUSPECTED' ELSE 'PROVED' END AS confidence,
    CASE v.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || v.oid::regclass AS object,
    'pg_class'::regclass::oid AS classid, v.oid AS objid, w.relation,
    CASE w.rank
        WHEN 1 THEN
            format('Client roles read %s through the view: the accounts of all users.', w.tables)
        WHEN 2 THEN format(
            'Client roles learn through the view which accounts exist in %s, but nothing else '
            'about them.', w.tables)
        ELSE format(
            'The view reads %s past row-level security and checks the identity itself. That '
            'condition is the only protection.', w.tables)
    END AS detail,
    format(
        '%s; columns of %s: %s; runs as owner: %s', e.grants, w.tables,
        coalesce(w.columns, 'none by name'),
        (
            SELECT string_agg(format('%s (%s)', g.oid::regclass, pg_get_userbyid(g.relowner)), ', '
                ORDER BY g.oid::regclass::text)
            FROM pg_class AS g
            WHERE g.oid = ANY (w.responsible_views)
        )
    ) AS evidence,
    CASE
        -- A grant on columns was made on purpose.
        WHEN w.rank < 3
            AND NOT EXISTS (
                SELECT FROM pg_attribute AS a
                WHERE a.attrelid = v.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped
            ) THEN
            CASE
                WHEN NOT pg_has_role(v.relowner, 'USAGE') THEN
                    format(E'-- as %s:\n', translate(pg_get_userbyid(v.relowner), E'\n\r', '  '))
                ELSE ''
            END
                || format(
                    'REVOKE ALL ON %s FROM PUBLIC, %s;', v.oid::regclass,
                    (
                        SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
                        FROM pg_roles AS r
                        WHERE r.oid = ANY (e.roles)
                    )
                )
    END AS remediation,
    format('auth_users_exposed_%s_%s', n.nspname, v.relname) AS cache_key
FROM worst AS w
JOIN entries AS e ON e.oid = w.entry
JOIN views AS v ON v.oid = w.entry
JOIN pg_namespace AS n ON n.oid = v.relnamespace
ORDER BY w.rank, v.relnamespace <> ALL ($5), v.oid::regclass::text
LIMIT 200
