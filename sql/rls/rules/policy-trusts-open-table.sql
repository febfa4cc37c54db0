-- Policy that reads another table to decide on access is as strong as that table. Reports tables
-- that client roles write without any condition. Conditions that leave a way are found by trying:
-- rule self-written-membership. Covers sub-queries, and tables that functions of the policy name.
WITH
facts AS MATERIALIZED (
    SELECT *
    FROM crewsnow_ops.rls_policy_facts()
),
policies AS MATERIALIZED (
    SELECT p.oid, p.polrelid, p.polname, p.polcmd, p.polpermissive, array_agg(c.oid) AS clients
    FROM pg_policy AS p
    JOIN pg_roles AS c ON c.oid = ANY ($1)
    WHERE 0 = ANY (p.polroles)
        OR EXISTS (
            SELECT FROM unnest(p.polroles) AS t (oid)
            WHERE t.oid <> 0 AND pg_has_role(c.oid, t.oid, 'USAGE')
        )
    GROUP BY p.oid
),
-- The tables, and their columns, that each policy reads.
tables_read AS (
    SELECT f.policy, t.oid AS relation, array_agg(DISTINCT d.refobjsubid::int2) AS columns,
        NULL::oid AS function
    FROM facts AS f
    JOIN policies AS p ON p.oid = f.policy
    CROSS JOIN LATERAL unnest(f.relations) AS l (oid)
    JOIN pg_class AS t ON t.oid = l.oid AND t.relkind IN ('r', 'p')
    LEFT JOIN pg_depend AS d ON d.classid = 'pg_policy'::regclass AND d.objid = f.policy
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.refobjsubid > 0
    WHERE t.oid <> p.polrelid
    GROUP BY f.policy, t.oid
    UNION ALL
    SELECT b.policy, c.oid, array_agg(DISTINCT a.attnum), b.function
    FROM (
        SELECT DISTINCT f.policy, g.oid AS function,
            regexp_replace(coalesce(pg_get_function_sqlbody(g.oid), g.prosrc),
                '--[^\n]*|/\*([^*]|\*+[^*/])*\*+/', ' ', 'g') AS body
        FROM facts AS f
        JOIN policies AS p ON p.oid = f.policy
        CROSS JOIN LATERAL unnest(f.functions) AS u (oid)
        JOIN pg_proc AS g ON g.oid = u.oid AND g.oid <> ALL ($2)
        JOIN pg_language AS l ON l.oid = g.prolang AND l.lanname IN ('sql', 'plpgsql')
        JOIN pg_namespace AS n ON n.oid = g.pronamespace
            AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    ) AS b
    CROSS JOIN LATERAL regexp_matches(b.body,
        '\m(?:from|join)\s+(?:("?[\w$]+"?)\s*\.\s*)?"?([\w$]+)"?', 'gi') AS m
    JOIN pg_class AS c ON c.relname IN (m[2], lower(m[2])) AND c.relkind IN ('r', 'p')
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
        AND (m[1] IS NULL OR n.nspname = trim('"' FROM m[1]))
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND b.body ~* ('\m' || regexp_replace(a.attname, '\W', '.', 'g') || '\M')
    GROUP BY b.policy, c.oid, b.function
),
-- Those of the columns that a client role has the privilege to write, for each command.
writable_columns AS (
    SELECT k.policy, k.relation, k.function, r.oid AS client, w.command,
        array_agg(a.attnum) AS columns
    FROM tables_read AS k
    JOIN pg_class AS c ON c.oid = k.relation
    JOIN policies AS p ON p.oid = k.policy
    JOIN pg_roles AS r ON r.oid = ANY (p.clients)
        AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
    CROSS JOIN (VALUES ('INSERT', 'a'::"char"), ('UPDATE', 'w')) AS w (command, polcmd)
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = ANY (k.columns)
        AND has_column_privilege(r.oid, c.oid, a.attnum, w.command)
    -- A value of a single-column unique key cannot be made equal to that of another row.
    WHERE NOT EXISTS (
        SELECT FROM pg_index AS i
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL AND i.indnkeyatts = 1
            AND i.indkey[0] = a.attnum
    )
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    GROUP BY k.policy, k.relation, k.function, r.oid, w.command
),
open_writes AS (
    SELECT y.policy, y.relation, y.function, y.client, y.command, NULL::name AS by_policy,
        y.columns
    FROM writable_columns AS y
    JOIN pg_class AS c ON c.oid = y.relation
    WHERE NOT c.relrowsecurity
    UNION ALL
    SELECT y.policy, y.relation, y.function, y.client, y.command, w.polname, y.columns
    FROM writable_columns AS y
    JOIN pg_class AS c ON c.oid = y.relation AND c.relrowsecurity
    JOIN policies AS w ON w.polrelid = y.relation AND w.polpermissive AND y.client = ANY (w.clients)
        AND w.polcmd IN ('*', CASE y.command WHEN 'INSERT' THEN 'a' ELSE 'w' END::"char")
    JOIN LATERAL (
        SELECT f.constant
        FROM facts AS f
        WHERE f.policy = w.oid
        -- 'check' sorts before 'using'.
        ORDER BY f.clause
        LIMIT 1
    ) AS f ON f.constant = 'true'
    WHERE y.function IS NULL
        AND NOT EXISTS (
            SELECT FROM policies AS s
            WHERE s.polrelid = y.relation AND NOT s.polpermissive AND y.client = ANY (s.clients)
                AND s.polcmd IN ('*', CASE y.command WHEN 'INSERT' THEN 'a' ELSE 'w' END::"char")
        )
),
-- Tables without row-level security that client roles can read but not write.
open_reads AS (
    SELECT k.policy, k.relation, k.function
    FROM tables_read AS k
    JOIN pg_class AS c ON c.oid = k.relation AND NOT c.relrowsecurity
    JOIN policies AS p ON p.oid = k.policy
    WHERE k.function IS NULL
        AND EXISTS (
            SELECT FROM unnest(p.clients) AS r (oid)
            WHERE has_any_column_privilege(r.oid, c.oid, 'SELECT')
                AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
        )
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
        AND NOT EXISTS (SELECT FROM open_writes AS o WHERE o.policy = k.policy)
),
found AS (
    SELECT o.policy, 1 AS rank,
        bool_or(EXISTS (
            SELECT FROM policies AS w
            WHERE w.polrelid = o.relation AND w.polpermissive AND o.client = ANY (w.clients)
                AND w.polcmd IN ('*', CASE o.command WHEN 'INSERT' THEN 'a' ELSE 'w' END::"char")
        )) AS is_used,
        string_agg(DISTINCT o.relation::regclass::text, ', ') AS tables,
        string_agg(
            DISTINCT format(
                '%s: %s %s (%s)%s', o.relation::regclass, pg_get_userbyid(o.client), o.command,
                (
                    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
                    FROM pg_attribute AS a
                    WHERE a.attrelid = o.relation AND a.attnum = ANY (o.columns)
                ),
                coalesce(' by policy "' || replace(o.by_policy, '"', '""') || '"',
                    ' without row-level security')
                    || coalesce(', read by ' || o.function::regprocedure, '')),
            '; ') AS evidence
    FROM open_writes AS o
    GROUP BY o.policy
    UNION ALL
    SELECT r.policy, 3, false, string_agg(DISTINCT r.relation::regclass::text, ', '),
        string_agg(
            DISTINCT r.relation::regclass::text
                || ': client roles have SELECT, row-level security is off',
            '; ')
    FROM open_reads AS r
    GROUP BY r.policy
)
SELECT
    CASE
        WHEN f.rank = 3 OR NOT c.relrowsecurity THEN 'LOW'
        -- The policy opens nothing while no client has the privilege that it is for.
        WHEN NOT EXISTS (
            SELECT FROM policies AS o
            CROSS JOIN unnest(o.clients) AS r (oid)
            CROSS JOIN (
                VALUES ('SELECT', 'r'::"char"), ('INSERT', 'a'), ('UPDATE', 'w'), ('DELETE', 'd')
            ) AS w (command, polcmd)
            WHERE o.oid = f.policy AND o.polcmd IN ('*', w.polcmd)
                AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
                AND CASE w.command
                    WHEN 'DELETE' THEN has_table_privilege(r.oid, c.oid, 'DELETE')
                    ELSE has_any_column_privilege(r.oid, c.oid, w.command)
                END
        ) THEN 'LOW'
        ELSE 'CRITICAL'
    END AS severity,
    CASE WHEN f.rank = 1 THEN 'PROVED' ELSE 'SUSPECTED' END AS confidence,
    format('policy "%s" on %s', replace(p.polname, '"', '""'), c.oid::regclass) AS object,
    'pg_policy'::regclass::oid AS classid, p.oid AS objid, p.polrelid AS relation,
    CASE
        WHEN f.rank < 3 THEN format(
            'The policy reads %s, where client roles can write the columns it decides by: they can '
            'grant themselves access.%s', f.tables,
            -- A policy for writing shows that clients use it: revoking would stop them.
            CASE WHEN f.is_used THEN ' Clients write it by policy: let that policy demand '
                'another user than the writer.' ELSE '' END)
        ELSE format(
            'The policy reads %s, which has no row-level security: client roles can read the data '
            'it decides by.', f.tables)
    END AS detail,
    f.evidence,
    CASE
        WHEN f.rank < 3 AND NOT f.is_used THEN (
            SELECT string_agg(
                CASE
                    WHEN NOT pg_has_role(t.relowner, 'USAGE') THEN
                        format(E'-- as %s:\n',
                            translate(pg_get_userbyid(t.relowner), E'\n\r', '  '))
                    ELSE ''
                END
                    || format('REVOKE %s ON %s FROM PUBLIC, %s;', x.command, t.oid::regclass,
                        x.clients)
                    || CASE
                        WHEN x.command = 'UPDATE' THEN coalesce(
                            (
                                SELECT format(E'\nGRANT UPDATE (%s) ON %s TO %s;',
                                    string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
                                    t.oid::regclass, x.clients)
                                FROM pg_attribute AS a
                                WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
                                    AND a.attgenerated = '' AND a.attnum <> ALL (x.columns)
                                    AND has_column_privilege(x.client, t.oid, a.attnum, 'UPDATE')
                                HAVING count(*) > 0
                            ),
                            '')
                        ELSE ''
                    END,
                E'\n' ORDER BY t.oid::regclass::text, x.command)
            FROM (
                SELECT o.relation, o.command,
                    string_agg(DISTINCT quote_ident(pg_get_userbyid(o.client)), ', ') AS clients,
                    min(o.client::bigint)::oid AS client, array_agg(DISTINCT u.attnum) AS columns
                FROM open_writes AS o, unnest(o.columns) AS u (attnum)
                WHERE o.policy = f.policy
                GROUP BY o.relation, o.command
            ) AS x
            JOIN pg_class AS t ON t.oid = x.relation
        )
    END AS remediation,
    NULL::text AS cache_key
FROM found AS f
JOIN pg_policy AS p ON p.oid = f.policy
JOIN pg_class AS c ON c.oid = p.polrelid
ORDER BY f.rank, NOT c.relrowsecurity, object
LIMIT 200
