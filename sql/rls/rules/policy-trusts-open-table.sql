-- A policy that asks another table who may do what is as strong as that table: where clients can write the columns that it asks for (a
-- membership, a role), they let themselves in. Tables in sub-queries, and those that the policy's functions name.
WITH
facts AS MATERIALIZED (
    SELECT * FROM crewsnow_ops.rls_policy_facts()
),
policies AS MATERIALIZED (
    SELECT p.oid, p.polrelid, p.polname, p.polcmd, p.polpermissive, array_agg(c.oid) AS clients
    FROM pg_policy AS p
    JOIN pg_roles AS c ON c.oid = ANY ($1)
    WHERE 0 = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) AS t (oid) WHERE t.oid <> 0 AND pg_has_role(c.oid, t.oid, 'USAGE'))
    GROUP BY p.oid
),
-- Which columns of which tables a policy asks for.
asked AS (
    SELECT f.policy, t.oid AS relation, array_agg(DISTINCT d.refobjsubid::int2) AS columns, NULL::oid AS function
    FROM facts AS f
    JOIN policies AS p ON p.oid = f.policy
    CROSS JOIN LATERAL unnest(f.relations) AS l (oid)
    JOIN pg_class AS t ON t.oid = l.oid AND t.relkind IN ('r', 'p')
    LEFT JOIN pg_depend AS d ON d.classid = 'pg_policy'::regclass AND d.objid = f.policy AND d.refclassid = 'pg_class'::regclass
        AND d.refobjid = t.oid AND d.refobjsubid > 0
    WHERE t.oid <> p.polrelid
    GROUP BY f.policy, t.oid
    UNION ALL
    SELECT b.policy, c.oid, array_agg(DISTINCT a.attnum), b.function
    FROM (
        SELECT DISTINCT f.policy, g.oid AS function, regexp_replace(coalesce(pg_get_function_sqlbody(g.oid), g.prosrc),
            '--[^\n]*|/\*([^*]|\*+[^*/])*\*+/', ' ', 'g') AS body
        FROM facts AS f
        JOIN policies AS p ON p.oid = f.policy
        CROSS JOIN LATERAL unnest(f.functions) AS u (oid)
        JOIN pg_proc AS g ON g.oid = u.oid AND g.oid <> ALL ($2)
        JOIN pg_language AS l ON l.oid = g.prolang AND l.lanname IN ('sql', 'plpgsql')
        JOIN pg_namespace AS n ON n.oid = g.pronamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    ) AS b
    CROSS JOIN LATERAL regexp_matches(b.body, '\m(?:from|join)\s+(?:("?[\w$]+"?)\s*\.\s*)?"?([\w$]+)"?', 'gi') AS m
    JOIN pg_class AS c ON c.relname IN (m[2], lower(m[2])) AND c.relkind IN ('r', 'p')
    JOIN pg_namespace AS n ON n.oid = c.relnamespace AND (m[1] IS NULL OR n.nspname = trim('"' FROM m[1]))
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND b.body ~* ('\m' || regexp_replace(a.attname, '\W', '.', 'g') || '\M')
    GROUP BY b.policy, c.oid, b.function
),
-- By which command of which role which of these columns can be written, and by which policy.
ways AS (
    SELECT k.policy, k.relation, k.function, r.oid AS client, w.command, array_agg(a.attnum) AS columns
    FROM asked AS k
    JOIN pg_class AS c ON c.oid = k.relation
    JOIN policies AS p ON p.oid = k.policy
    JOIN pg_roles AS r ON r.oid = ANY (p.clients) AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
    CROSS JOIN (VALUES ('INSERT', 'a'::"char"), ('UPDATE', 'w')) AS w (command, polcmd)
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = ANY (k.columns) AND has_column_privilege(r.oid, c.oid, a.attnum, w.command)
    -- A key of its own cannot be made to match another row's.
    WHERE NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL AND i.indnkeyatts = 1
        AND i.indkey[0] = a.attnum)
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    GROUP BY k.policy, k.relation, k.function, r.oid, w.command
),
open_ways AS (
    SELECT y.policy, y.relation, y.function, y.client, y.command, NULL::name AS by_policy, y.columns, true AS is_certain
    FROM ways AS y JOIN pg_class AS c ON c.oid = y.relation
    WHERE NOT c.relrowsecurity
    UNION ALL
    SELECT y.policy, y.relation, y.function, y.client, y.command, w.polname, u.columns, f.constant = 'true' AND y.function IS NULL
    FROM ways AS y
    JOIN pg_class AS c ON c.oid = y.relation AND c.relrowsecurity
    JOIN policies AS w ON w.polrelid = y.relation AND w.polpermissive AND y.client = ANY (w.clients)
        AND w.polcmd IN ('*', CASE y.command WHEN 'INSERT' THEN 'a' ELSE 'w' END::"char")
    JOIN LATERAL (
        SELECT f.constant, f.columns FROM facts AS f WHERE f.policy = w.oid ORDER BY f.clause LIMIT 1  -- 'check' before 'using'
    ) AS f ON f.constant IS DISTINCT FROM 'false' AND f.constant IS DISTINCT FROM 'null'
    CROSS JOIN LATERAL (
        SELECT array_agg(x.attnum) AS columns FROM unnest(y.columns) AS x (attnum)
        WHERE x.attnum <> ALL (f.columns) AND NOT EXISTS (
            SELECT FROM policies AS s JOIN facts AS g ON g.policy = s.oid
            WHERE s.polrelid = y.relation AND NOT s.polpermissive AND y.client = ANY (s.clients) AND x.attnum = ANY (g.columns))
    ) AS u
    WHERE u.columns IS NOT NULL
),
-- Tables that clients can only read, without row-level security.
read_ways AS (
    SELECT k.policy, k.relation, k.function
    FROM asked AS k
    JOIN pg_class AS c ON c.oid = k.relation AND NOT c.relrowsecurity
    JOIN policies AS p ON p.oid = k.policy
    WHERE k.function IS NULL AND EXISTS (
            SELECT FROM unnest(p.clients) AS r (oid) WHERE has_any_column_privilege(r.oid, c.oid, 'SELECT')
                AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE'))
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
        AND NOT EXISTS (SELECT FROM open_ways AS o WHERE o.policy = k.policy)
),
found AS (
    SELECT o.policy, CASE WHEN bool_or(o.is_certain) THEN 1 ELSE 2 END AS rank, string_agg(DISTINCT o.relation::regclass::text, ', ') AS tables,
        string_agg(DISTINCT format('%s: %s %s (%s)%s', o.relation::regclass, pg_get_userbyid(o.client), o.command,
            (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute AS a WHERE a.attrelid = o.relation
                AND a.attnum = ANY (o.columns)),
            coalesce(' by policy "' || replace(o.by_policy, '"', '""') || '"', ' without row-level security')
                || coalesce(', asked by ' || o.function::regprocedure, '')), '; ') AS evidence
    FROM open_ways AS o
    GROUP BY o.policy
    UNION ALL
    SELECT r.policy, 3, string_agg(DISTINCT r.relation::regclass::text, ', '),
        string_agg(DISTINCT r.relation::regclass::text || ': clients have SELECT, row-level security is off', '; ')
    FROM read_ways AS r
    GROUP BY r.policy
)
SELECT
    CASE WHEN f.rank = 3 OR NOT c.relrowsecurity THEN 'LOW' WHEN f.rank = 1 THEN 'CRITICAL' ELSE 'HIGH' END AS severity,
    CASE WHEN f.rank = 1 THEN 'PROVED' ELSE 'SUSPECTED' END AS confidence,
    format('policy "%s" on %s', replace(p.polname, '"', '""'), c.oid::regclass) AS object,
    'pg_policy'::regclass::oid AS classid, p.oid AS objid, p.polrelid AS relation,
    CASE WHEN f.rank < 3 THEN format('It asks %s, where clients can write the very columns that it asks for: they let themselves in.', f.tables)
        ELSE format('It asks %s, which has no row-level security: what it decides by is open to every client.', f.tables) END AS detail,
    f.evidence,
    CASE WHEN f.rank < 3 THEN (
        SELECT string_agg(CASE WHEN NOT pg_has_role(t.relowner, 'USAGE') THEN format(E'-- as %s:\n', translate(pg_get_userbyid(t.relowner), E'\n\r', '  ')) ELSE '' END
            || format('REVOKE %s ON %s FROM PUBLIC, %s;', x.command, t.oid::regclass, x.clients)
            || CASE WHEN x.command = 'UPDATE' THEN coalesce((
                SELECT format(E'\nGRANT UPDATE (%s) ON %s TO %s;', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), t.oid::regclass,
                    x.clients)
                FROM pg_attribute AS a
                WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attnum <> ALL (x.columns)
                    AND has_column_privilege(x.client, t.oid, a.attnum, 'UPDATE') HAVING count(*) > 0), '') ELSE '' END, E'\n'
                        ORDER BY t.oid::regclass::text, x.command)
        FROM (
            SELECT o.relation, o.command, string_agg(DISTINCT quote_ident(pg_get_userbyid(o.client)), ', ') AS clients,
                min(o.client::bigint)::oid AS client,
                array_agg(DISTINCT u.attnum) AS columns
            FROM open_ways AS o, unnest(o.columns) AS u (attnum)
            WHERE o.policy = f.policy
            GROUP BY o.relation, o.command
        ) AS x
        JOIN pg_class AS t ON t.oid = x.relation)
    END AS remediation,
    NULL::text AS cache_key
FROM found AS f
JOIN pg_policy AS p ON p.oid = f.policy
JOIN pg_class AS c ON c.oid = p.polrelid
ORDER BY f.rank, NOT c.relrowsecurity, object
LIMIT 200
