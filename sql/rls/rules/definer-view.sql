-- View that runs as its owner and so reads tables as the owner does. If the owner bypasses
-- row-level security, or a policy for the owner does not check the identity, every reader of the
-- view gets those rows. Nested views are followed: a table is checked as the owner of the view that
-- names it, or as the caller if that is an invoker view.
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
        SELECT concat_ws(', ',
            CASE WHEN has_any_column_privilege(r.oid, v.oid, 'SELECT') THEN 'SELECT' END,
            CASE WHEN has_any_column_privilege(r.oid, v.oid, 'INSERT') THEN 'INSERT' END,
            CASE WHEN has_any_column_privilege(r.oid, v.oid, 'UPDATE') THEN 'UPDATE' END,
            CASE WHEN has_table_privilege(r.oid, v.oid, 'DELETE') THEN 'DELETE' END) AS privileges
    ) AS p
    WHERE v.relkind = 'v' AND p.privileges <> ''
        AND has_schema_privilege(r.oid, v.relnamespace, 'USAGE')
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
-- Policies for reading that check no identity.
admitting_policies AS (
    SELECT p.polrelid, p.polname, p.polroles,
        p.polroles = '{0}'
            OR EXISTS (
                SELECT FROM unnest($1) AS c (oid), unnest(p.polroles) AS t (oid)
                WHERE t.oid <> 0 AND pg_has_role(c.oid, t.oid, 'USAGE')
            ) AS is_for_clients
    FROM pg_policy AS p
    JOIN crewsnow_ops.rls_policy_facts() AS f ON f.policy = p.oid AND f.clause = 'using'
        AND f.identity_calls = 0 AND NOT f.uses_session_user AND f.claim_keys = '{}'
        AND f.settings = '{}' AND f.constant IS DISTINCT FROM 'false'
    WHERE p.polpermissive AND p.polcmd IN ('r', '*')
),
-- Restrictive policies that check the identity and so protect the rows from their roles.
guarding_policies AS (
    SELECT p.polrelid, p.polroles
    FROM pg_policy AS p
    JOIN crewsnow_ops.rls_policy_facts() AS f ON f.policy = p.oid AND f.clause = 'using'
        AND (f.identity_calls > 0 OR f.claim_keys <> '{}' OR f.settings <> '{}')
    WHERE NOT p.polpermissive AND p.polcmd IN ('r', '*')
),
base_tables AS (
    SELECT w.entry, v.oid AS responsible_view, t.oid AS relation, t.relrowsecurity,
        o.rolsuper OR o.rolbypassrls
            OR (
                NOT t.relforcerowsecurity AND pg_has_role(v.relowner, t.relowner, 'USAGE')
            ) AS owner_bypasses_rls,
        w.checks_identity AND NOT w.is_materialized AS checks_identity,
        a.policy AS admitting_policy, a.client_policy,
        EXISTS (
            SELECT FROM unnest($1) AS r (oid)
            WHERE has_any_column_privilege(r.oid, t.oid, 'SELECT')
                AND has_schema_privilege(r.oid, t.relnamespace, 'USAGE')
        ) AS has_client_grant,
        EXISTS (
            SELECT FROM entries AS e, unnest(e.roles) AS r (oid)
            WHERE e.oid = w.entry
                AND NOT (
                    has_any_column_privilege(r.oid, t.oid, 'SELECT')
                        AND has_schema_privilege(r.oid, t.relnamespace, 'USAGE')
                )
        ) AS is_withheld
    FROM walk AS w
    JOIN views AS v ON v.oid = w.view AND NOT v.is_invoker
    JOIN pg_roles AS o ON o.oid = v.relowner
    JOIN reads AS r ON r.view = w.view
    JOIN pg_class AS t ON t.oid = r.relation AND t.relkind IN ('r', 'p', 'f')
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    CROSS JOIN LATERAL (
        SELECT min(p.polname) FILTER (WHERE NOT p.is_for_clients) AS policy,
            min(p.polname) AS client_policy
        FROM admitting_policies AS p
        WHERE p.polrelid = t.oid
            AND EXISTS (
                SELECT FROM unnest(p.polroles) AS m (oid)
                WHERE m.oid = 0 OR pg_has_role(v.relowner, m.oid, 'USAGE')
            )
            AND NOT EXISTS (
                SELECT FROM guarding_policies AS g, unnest(g.polroles) AS m (oid)
                WHERE g.polrelid = t.oid
                    AND (m.oid = 0 OR pg_has_role(v.relowner, m.oid, 'USAGE'))
            )
    ) AS a
),
ranked AS (
    SELECT l.*,
        CASE
            WHEN l.relrowsecurity AND l.owner_bypasses_rls AND NOT l.checks_identity THEN 1
            WHEN l.relrowsecurity AND NOT l.owner_bypasses_rls AND l.admitting_policy IS NOT NULL
                AND NOT l.checks_identity THEN 2
            -- The same policy would admit the client, but the client has no privilege.
            WHEN l.relrowsecurity AND NOT l.owner_bypasses_rls AND l.client_policy IS NOT NULL
                AND l.is_withheld AND NOT l.checks_identity THEN
                CASE
                    WHEN l.relation IN (
                            SELECT o.relation FROM crewsnow_ops.rls_owner_columns() AS o
                        ) THEN 3
                    ELSE 4
                END
            WHEN l.relrowsecurity AND l.owner_bypasses_rls THEN 5
            WHEN NOT l.relrowsecurity AND NOT l.has_client_grant AND NOT l.checks_identity THEN 6
        END AS rank
    FROM base_tables AS l
),
worst AS (
    SELECT r.entry, min(r.rank) AS rank,
        (array_agg(r.relation ORDER BY r.rank, r.relation::regclass::text))[1] AS relation,
        string_agg(DISTINCT r.relation::regclass::text, ', ') AS tables,
        array_agg(DISTINCT r.responsible_view) AS responsible_views,
        min(r.admitting_policy) AS admitting_policy, min(r.client_policy) AS client_policy,
        bool_or(NOT r.has_client_grant) AS lacks_client_grant
    FROM ranked AS r
    WHERE r.rank = (SELECT min(m.rank) FROM ranked AS m WHERE m.entry = r.entry)
    GROUP BY r.entry
)
SELECT
    CASE
        WHEN w.rank = 1 AND v.relnamespace = ANY ($5) THEN 'CRITICAL'
        WHEN w.rank <= 3 AND v.relnamespace = ANY ($5) THEN 'HIGH'
        WHEN w.rank <= 4 THEN 'MEDIUM'
        ELSE 'LOW'
    END AS severity,
    CASE WHEN w.rank = 1 THEN 'PROVED' ELSE 'SUSPECTED' END AS confidence,
    'view ' || v.oid::regclass AS object, 'pg_class'::regclass::oid AS classid, v.oid AS objid,
    w.relation,
    CASE w.rank
        WHEN 1 THEN format(
            'The view reads %s with the rights of an owner that bypasses row-level security: '
            'client roles get the rows of all users.', w.tables)
        WHEN 2 THEN format(
            'The view reads %s with the rights of an owner that policy "%s" admits without '
            'checking the identity: client roles get those rows through the view.', w.tables,
            w.admitting_policy)
        WHEN 3 THEN format(
            'The view shows rows of users in %s that policy "%s" admits without checking the '
            'identity. Client roles without SELECT on the table get them through the view.',
            w.tables, w.client_policy)
        WHEN 4 THEN format(
            'The view shows rows of %s that policy "%s" admits without checking the identity. '
            'Client roles without SELECT on the table get them through the view.', w.tables,
            w.client_policy)
        WHEN 5 THEN format(
            'The view reads %s past row-level security and checks the identity itself. That '
            'condition is the only protection; check that it cannot be evaded.', w.tables)
        ELSE format(
            'The view shows %s, which has no row-level security and no grant to client roles: the '
            'view is the only protection.', w.tables)
    END AS detail,
    e.grants || '; runs as owner: '
        || (
            SELECT string_agg(format('%s (%s)', g.oid::regclass, pg_get_userbyid(g.relowner)), ', '
                ORDER BY g.oid::regclass::text)
            FROM pg_class AS g
            WHERE g.oid = ANY (w.responsible_views)
        ) AS evidence,
    CASE
        -- Rank 4 may be a publication on purpose.
        WHEN w.rank <= 3 THEN (
            SELECT string_agg(
                CASE
                    WHEN NOT pg_has_role(x.owner, 'USAGE') THEN
                        format(E'-- as %s:\n', translate(pg_get_userbyid(x.owner), E'\n\r', '  '))
                    ELSE ''
                END
                    || CASE g.relkind
                        WHEN 'v' THEN
                            format('ALTER VIEW %s SET (security_invoker = true);', g.oid::regclass)
                        ELSE format(
                            'REVOKE ALL ON %s FROM PUBLIC, %s;', v.oid::regclass,
                            (
                                SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
                                FROM pg_roles AS r
                                WHERE r.oid = ANY (e.roles)
                            )
                        )
                    END,
                E'\n' ORDER BY g.oid::regclass::text)
            FROM pg_class AS g, LATERAL (
                SELECT CASE g.relkind WHEN 'v' THEN g.relowner ELSE v.relowner END AS owner
            ) AS x
            WHERE g.oid = ANY (w.responsible_views)
        )
            || CASE
                WHEN w.lacks_client_grant THEN
                    E'\n-- Callers then need their own privileges and policies on: ' || w.tables
                ELSE ''
            END
    END AS remediation,
    CASE
        WHEN NOT v.is_invoker THEN format('security_definer_view_%s_%s', n.nspname, v.relname)
    END AS cache_key
FROM worst AS w
JOIN entries AS e ON e.oid = w.entry
JOIN views AS v ON v.oid = w.entry
JOIN pg_namespace AS n ON n.oid = v.relnamespace
WHERE w.rank IS NOT NULL
ORDER BY w.rank, v.relnamespace <> ALL ($5), v.oid::regclass::text
LIMIT 200
