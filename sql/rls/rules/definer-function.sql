-- SECURITY DEFINER function that client roles may call: it runs with the rights of its owner. The
-- rule reads the text of the function and of those it calls. Does it touch a table whose row-level
-- security does not stop the owner, and does it check the identity? Trigger functions: see
-- definer-trigger.
WITH RECURSIVE
candidates AS (
    SELECT p.oid, p.proowner, p.pronamespace, p.proname, p.prolang, p.prokind, p.prorettype,
        p.proretset, o.rolsuper OR o.rolbypassrls AS owner_bypasses_rls,
        string_agg(r.rolname, ', ' ORDER BY r.rolname) AS callers, array_agg(r.oid) AS roles,
        bool_or(r.rolname = 'anon') AS is_for_anon
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    JOIN pg_roles AS o ON o.oid = p.proowner
        AND NOT (p.pronamespace = ANY ($6) AND o.rolname ~ '^supabase_\w*admin$')
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
        AND (
            has_schema_privilege(r.oid, n.oid, 'USAGE')
                -- A view names the function by its oid, without USAGE on the schema.
                OR EXISTS (
                    SELECT FROM pg_depend AS d
                    JOIN pg_rewrite AS w ON w.oid = d.objid AND w.ev_type = '1'
                    JOIN pg_class AS v ON v.oid = w.ev_class
                    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_proc'::regclass
                        AND d.refobjid = p.oid
                        AND has_any_column_privilege(r.oid, v.oid, 'SELECT')
                        AND has_schema_privilege(r.oid, v.relnamespace, 'USAGE')
                )
        )
    WHERE p.prosecdef AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
    GROUP BY p.oid, o.rolsuper, o.rolbypassrls
),
-- Text that reads the identity: a setting with a dot in its name, a qualified identity function, or
-- one called without arguments. "INSERT INTO role (…)" does not match.
identity_pattern AS (
    SELECT concat_ws(
        '|', '\mcurrent_setting\s*\(\s*(?:''[^'']*\.|[^''\s])',
        string_agg(format('\m%1$s"?\s*\.\s*"?%2$s"?\s*\(|\m%2$s"?\s*\(\s*\)', x.schema, x.name),
            '|')) AS identity,
        -- A whole call, perhaps within a scalar sub-query, with a cast or a claim.
        format(
            '(?:\(\s*select\s+)?(?:%s)(?:\s+as\s+"?\w+"?)?(?:\s*\))?(?:\s*::\s*\w+)?(?:\s*\))?'
            '(?:\s*->>\s*''(?:sub|role|aud|email|aal)''(?:::text)?)?(?:\s*\))?(?:\s*::\s*\w+)?',
            concat_ws(
                '|', '\mnullif\s*\(\s*current_setting\s*\([^()]*\)\s*,[^()]*\)',
                '\mcurrent_setting\s*\([^()]*\)',
                string_agg(format('(?:"?\m%s"?\s*\.\s*)?"?\m%s"?\s*\(\s*\)', x.schema, x.name),
                    '|'))) AS operand
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL (
        SELECT regexp_replace(n.nspname, '\W', '\\\&', 'g') AS schema,
            regexp_replace(p.proname, '\W', '\\\&', 'g') AS name
    ) AS x
    WHERE p.oid = ANY ($2)
),
bodies AS MATERIALIZED (
    SELECT p.oid, p.proname, p.prosecdef, l.lanname IN ('sql', 'plpgsql') AS is_text,
        regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc),
            '--[^\n]*|/\*([^*]|\*+[^*/])*\*+/', ' ', 'g') AS body
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    JOIN pg_language AS l ON l.oid = p.prolang
    WHERE EXISTS (SELECT FROM candidates) AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND p.prokind IN ('f', 'p')
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
),
called_functions AS (
    SELECT c.oid AS candidate, c.oid AS function, 1 AS depth
    FROM candidates AS c
    UNION
    SELECT c.candidate, b.oid, c.depth + 1
    FROM called_functions AS c
    JOIN bodies AS a ON a.oid = c.function AND a.is_text
    CROSS JOIN LATERAL regexp_matches(a.body, '([\w$]+)"?\s*\(', 'g') AS m
    JOIN bodies AS b ON b.proname = m[1] AND b.oid <> a.oid
    WHERE c.depth < 4 AND b.oid <> ALL ($2)
),
-- Variables that are set to the identity.
variables AS (
    SELECT b.oid, string_agg(DISTINCT coalesce(m[1], m[2]), '|') AS names
    FROM bodies AS b
    CROSS JOIN identity_pattern AS w
    CROSS JOIN LATERAL regexp_matches(
        b.body,
        format(
            '\m(?!(?:begin|declare|then|else|loop)\M)([a-z_]\w*)(?:\s+constant)?(?:\s+[\w.]+)?\s*'
            '(?::=|\mdefault\M)\s*%1$s\s*;'
            '|\mselect\s+%1$s\s+into\s+(?:strict\s+)?(\w+)', w.operand),
        'gi') AS m
    WHERE b.is_text AND b.oid IN (SELECT c.function FROM called_functions AS c)
    GROUP BY b.oid
),
-- Bodies without messages and without uses of the identity that only tell whether a user is
-- signed in, and how (aal), or that an argument replaces: coalesce(p_user, auth.uid()).
stripped_bodies AS (
    SELECT b.oid, b.is_text, v.names,
        regexp_replace(
            regexp_replace(
                b.body,
                format(
                    '\mraise\s+(?:debug|log|info|notice|warning)\M[^;]*;'
                    '|\m(?:%1$s)(?:\s+constant)?\s+[\w.]+\s*;'
                    '|\m[a-z_]\w*(?:\s+constant)?(?:\s+[\w.]+)?\s*(?::=|\mdefault\M)\s*%2$s\s*;'
                    '|\mselect\s+%2$s\s+into\s+(?:strict\s+)?\w+',
                    coalesce(v.names, 'auth_uid'), w.operand),
                ' ; ', 'gi'),
            format(
                '\mcoalesce\s*\(\s*(?:%1$s)\s*,\s*(?:::\w+)?\s*\)\s*(?:=|<>|!=)\s*'
                '|\mcoalesce\s*\(\s*[\w$.]+\s*,\s*(?:%1$s)\s*\)'
                '|(?:%1$s)\s*\)*\s*is\s+(?:not\s+)?null\M'
                '|(?:%1$s)\s*\)*\s*(?:=|<>|!=|(?:not\s+)?in|is\s+(?:not\s+)?distinct\s+from)\s*\(*'
                '\s*(?:any\s*\(\s*array\s*\[\s*)?''(?:authenticated|anon|aal[12]|)''(?:::\w+)?'
                '(?:\s*,\s*''(?:authenticated|anon|aal[12]|)''(?:::\w+)?)*'
                '|''(?:authenticated|anon|aal[12])''(?:::\w+)?\s*(?:=|<>|!=)\s*(?:%1$s)',
                concat_ws('|', w.operand, '\m(?:' || v.names || ')\M(?:\s*::\s*\w+)?')),
            ' ', 'gi') AS body
    FROM bodies AS b
    CROSS JOIN identity_pattern AS w
    LEFT JOIN variables AS v ON v.oid = b.oid
    WHERE b.oid IN (SELECT c.function FROM called_functions AS c)
),
statements AS (
    SELECT b.oid, b.is_text, t.place, t.statement,
        t.statement ~* concat_ws('|', w.identity, '\m(?:' || b.names || ')\M') AS reads_identity,
        t.statement ~* '\minsert\s+into\M' AND t.statement !~* '\mwhere\M' AS is_insert
    FROM stripped_bodies AS b
    CROSS JOIN identity_pattern AS w
    CROSS JOIN LATERAL regexp_split_to_table(b.body, ';')
        WITH ORDINALITY AS t (statement, place)
),
named_relations AS (
    SELECT DISTINCT c.candidate, s.reads_identity,
        coalesce(replace(trim('"' FROM m[1]), '""', '"'), lower(m[2])) AS schema,
        coalesce(replace(substr(m[3], 2, length(m[3]) - 2), '""', '"'), lower(m[4])) AS name
    FROM called_functions AS c
    JOIN statements AS s ON s.oid = c.function AND s.is_text
    CROSS JOIN LATERAL regexp_matches(
        s.statement,
        '(?:\m(?:from|join|into|update|using|only|table|truncate)\s+|,\s*)(?:(?:("(?:[^"]|"")+")'
        '|([\w$]+))\s*\.\s*)?(?:("(?:[^"]|"")+")|([\w$]+))', 'gi') AS m
),
-- Policies that admit an owner of a function to rows without checking the identity: by name, or
-- because current_user is the owner inside of the function.
admitting_policies AS (
    SELECT p.polrelid, o.oid AS owner, min(p.polname) AS polname
    FROM pg_policy AS p
    JOIN crewsnow_ops.rls_policy_facts() AS f ON f.policy = p.oid AND f.clause = 'using'
        AND f.identity_calls = 0 AND f.claim_keys = '{}' AND f.settings = '{}'
        AND coalesce(f.constant, 'true') = 'true'
    JOIN pg_roles AS o ON o.oid IN (SELECT c.proowner FROM candidates AS c)
        AND EXISTS (
            SELECT FROM unnest(p.polroles) AS t (oid)
            WHERE t.oid = 0 OR pg_has_role(o.oid, t.oid, 'USAGE')
        )
    WHERE p.polpermissive AND p.polcmd IN ('r', 'w', 'd', '*')
        AND CASE
            WHEN f.uses_session_user
                THEN EXISTS (
                    SELECT FROM pg_roles AS x
                    WHERE position(quote_literal(x.rolname) IN f.expression) > 0
                        AND CASE
                            WHEN f.expression ~ 'pg_has_role'
                                THEN pg_has_role(o.oid, x.oid, 'USAGE')
                            ELSE x.oid = o.oid
                        END
                )
                    <> (f.expression ~ '\m(CURRENT_USER|CURRENT_ROLE|USER)\)?(::\w+)?\)? <> ')
            ELSE NOT EXISTS (
                SELECT FROM unnest($1) AS c (oid), unnest(p.polroles) AS t (oid)
                WHERE t.oid = 0 OR pg_has_role(c.oid, t.oid, 'USAGE')
            )
        END
        AND NOT EXISTS (
            SELECT FROM pg_policy AS g
            JOIN crewsnow_ops.rls_policy_facts() AS i ON i.policy = g.oid AND i.clause = 'using'
                AND (i.identity_calls > 0 OR i.claim_keys <> '{}' OR i.settings <> '{}')
            CROSS JOIN unnest(g.polroles) AS t (oid)
            WHERE g.polrelid = p.polrelid AND NOT g.polpermissive
                AND (t.oid = 0 OR pg_has_role(o.oid, t.oid, 'USAGE'))
        )
    GROUP BY p.polrelid, o.oid
),
tables AS (
    SELECT f.candidate, array_agg(DISTINCT t.oid) AS relations,
        string_agg(DISTINCT t.oid::regclass::text, ', ') AS names,
        bool_or(NOT f.reads_identity) AS is_named_without_identity,
        min(format('"%s" on %s', replace(a.polname, '"', '""'), t.oid::regclass)) FILTER (
            WHERE NOT b.bypasses_rls
        ) AS admitting_policy
    FROM named_relations AS f
    JOIN pg_class AS t ON t.relname = f.name AND t.relkind IN ('r', 'p') AND t.relrowsecurity
    JOIN pg_namespace AS n ON n.oid = t.relnamespace AND (f.schema IS NULL OR n.nspname = f.schema)
    JOIN candidates AS c ON c.oid = f.candidate
    CROSS JOIN LATERAL (
        SELECT c.owner_bypasses_rls
            OR (NOT t.relforcerowsecurity AND pg_has_role(c.proowner, t.relowner, 'USAGE'))
    ) AS b (bypasses_rls)
    LEFT JOIN admitting_policies AS a ON a.polrelid = t.oid AND a.owner = c.proowner
    WHERE (b.bypasses_rls OR a.polname IS NOT NULL)
        -- BYPASSRLS is no privilege: without one the function fails.
        AND (
            has_any_column_privilege(c.proowner, t.oid, 'SELECT, INSERT, UPDATE')
                OR has_table_privilege(c.proowner, t.oid, 'DELETE'))
    GROUP BY f.candidate
),
text_facts AS (
    SELECT c.candidate, bool_or(s.reads_identity) AS reads_identity,
        bool_or(s.reads_identity AND NOT s.is_insert) AS compares_identity,
        bool_or(
            s.statement ~* '\m(insert\s+into|update|delete\s+from|merge\s+into|truncate)\M'
        ) AS writes,
        -- New rows alone, of which those with the identity take no value from the caller: a
        -- function that creates a team and its first member.
        bool_or(s.is_insert AND s.reads_identity)
            AND NOT bool_or(
                s.is_insert AND s.reads_identity
                    AND (
                        s.statement ~ '\$\d'
                        OR EXISTS (
                            SELECT FROM unnest(p.proargnames) AS a (name)
                            WHERE a.name <> '' AND s.statement
                                ~ format('\m%s\M', regexp_replace(a.name, '\W', '\\\&', 'g'))
                        )
                    )
            )
            AND NOT bool_or(
                NOT s.is_insert
                    AND s.statement
                        ~* '\m(update|delete\s+from|merge\s+into|truncate|from|join|execute)\M'
            ) AS creates_own_rows,
        bool_or(NOT s.is_text) AS is_opaque,
        bool_or(s.is_text AND s.statement ~* '\mexecute\M') AS is_dynamic
    FROM called_functions AS c
    JOIN statements AS s ON s.oid = c.function
    JOIN pg_proc AS p ON p.oid = c.function
    GROUP BY c.candidate
),
-- Identities that are only inserted protect no rows that another statement touches.
checks AS (
    SELECT x.candidate,
        x.compares_identity OR x.creates_own_rows
            OR x.reads_identity AND t.is_named_without_identity IS DISTINCT FROM true
            AS checks_identity
    FROM text_facts AS x
    LEFT JOIN tables AS t ON t.candidate = x.candidate
),
ranked AS (
    SELECT c.*, t.relations, t.names, t.admitting_policy, k.checks_identity, x.writes, x.is_dynamic,
        -- Code of the application that needs EXECUTE as the client: a REVOKE would break it.
        EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = c.oid AND d.deptype = 'n'
        )
            OR EXISTS (
                SELECT FROM bodies AS b
                WHERE NOT b.prosecdef AND b.oid <> c.oid
                    AND position(c.proname::text IN b.body) > 0
                    AND b.body ~ format('\m%s"?\s*\(', regexp_replace(c.proname, '\W', '\\\&', 'g'))
            ) AS is_used,
        NOT EXISTS (
            SELECT FROM unnest(t.relations) AS r (oid), unnest(c.roles) AS u (oid)
            WHERE NOT has_any_column_privilege(u.oid, r.oid, 'SELECT')
                OR x.writes AND NOT has_any_column_privilege(u.oid, r.oid, 'INSERT, UPDATE')
        ) AS may_be_invoker,
        CASE
            WHEN k.checks_identity THEN 4
            WHEN t.names IS NOT NULL
                AND (
                    x.writes OR c.proretset
                        OR c.prorettype NOT IN ('bool'::regtype, 'int4'::regtype, 'int8'::regtype,
                            'void'::regtype)) THEN 1
            WHEN t.names IS NOT NULL THEN 2
            WHEN x.is_dynamic OR x.is_opaque THEN 3
            ELSE 4
        END AS rank
    FROM candidates AS c
    JOIN text_facts AS x ON x.candidate = c.oid
    JOIN checks AS k ON k.candidate = c.oid
    LEFT JOIN tables AS t ON t.candidate = c.oid
)
SELECT
    CASE
        WHEN r.rank = 4 THEN 'INFO'
        WHEN r.rank = 1 THEN CASE WHEN r.pronamespace = ANY ($5) THEN 'HIGH' ELSE 'MEDIUM' END
        ELSE CASE WHEN r.pronamespace = ANY ($5) THEN 'MEDIUM' ELSE 'LOW' END
    END AS severity,
    'SUSPECTED' AS confidence,
    CASE r.prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END || r.oid::regprocedure AS object,
    'pg_proc'::regclass::oid AS classid, r.oid AS objid, r.relations[1] AS relation,
    CASE
        WHEN r.rank = 1 THEN format(
            'Client roles may call it with the rights of its owner. It %s %s past row-level '
            'security and does not check the identity.',
            CASE WHEN r.writes THEN 'writes or reads' ELSE 'reads' END, r.names)
        WHEN r.rank = 2 THEN format(
            'Client roles may call it with the rights of its owner. It reads %s past row-level '
            'security without checking the identity, and returns yes, no or a number.', r.names)
        WHEN r.rank = 3 THEN
            'Client roles may call it with the rights of its owner. The text does not show which '
            'tables it touches: '
                || CASE
                    WHEN r.is_dynamic THEN 'it builds statements.'
                    ELSE 'it, or a function it calls, is not in SQL or PL/pgSQL.'
                END
        WHEN r.names IS NOT NULL THEN format(
            'Client roles may call it with the rights of its owner. It touches %s past row-level '
            'security and checks the identity itself. That condition is the only protection.',
            r.names)
        ELSE
            'Client roles may call it with the rights of its owner. The text names no table whose '
            'row-level security it bypasses.'
    END
        || CASE
            WHEN r.rank >= 3 THEN ''
            WHEN r.is_used THEN
                ' Policies or other code of the application call it: check the identity in its '
                'body.'
            WHEN NOT r.may_be_invoker THEN
                ' The statement takes it from client roles. If clients call it, check the '
                'identity in its body instead.'
            ELSE ''
        END AS detail,
    format('callable by %s; owner %s; language %s; returns %s', r.callers,
        pg_get_userbyid(r.proowner),
        (SELECT l.lanname FROM pg_language AS l WHERE l.oid = r.prolang),
        coalesce(pg_get_function_result(r.oid), 'nothing'))
        || coalesce('; policy ' || r.admitting_policy || ' admits the owner', '') AS evidence,
    CASE
        WHEN r.rank < 3 AND NOT r.is_used THEN
            CASE
                WHEN NOT pg_has_role(r.proowner, 'USAGE') THEN
                    format(E'-- as %s:\n', translate(pg_get_userbyid(r.proowner), E'\n\r', '  '))
                ELSE ''
            END
                || CASE
                    WHEN r.may_be_invoker
                        THEN format('ALTER ROUTINE %s SECURITY INVOKER;', r.oid::regprocedure)
                    ELSE format(
                        'REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC, %s;', r.oid::regprocedure,
                        (
                            SELECT string_agg(quote_ident(c.rolname), ', ' ORDER BY c.rolname)
                            FROM pg_roles AS c
                            WHERE c.oid = ANY (r.roles)
                        )
                    )
                        || coalesce(
                            (
                                SELECT
                                    format(E'\nGRANT EXECUTE ON ROUTINE %s TO %s;',
                                        r.oid::regprocedure,
                                        string_agg(quote_ident(s.rolname), ', ' ORDER BY s.rolname))
                                FROM pg_roles AS s
                                WHERE s.rolname = 'service_role'
                                    AND has_function_privilege(s.oid, r.oid, 'EXECUTE')
                                HAVING count(*) > 0
                            ),
                            '')
                END
    END AS remediation,
    (
        -- One lint for each role.
        SELECT string_agg(
            format('%s_security_definer_function_executable_%s_%s_%s', k.role, n.nspname, r.proname,
                pg_get_function_identity_arguments(r.oid)), E'\n' ORDER BY k.role)
        FROM pg_namespace AS n, (VALUES ('anon'), ('authenticated')) AS k (role)
        WHERE n.oid = r.pronamespace AND r.callers ~ ('\m' || k.role || '\M')
    ) AS cache_key
FROM ranked AS r
ORDER BY r.rank, r.pronamespace <> ALL ($5), r.names IS NULL, r.oid::regprocedure::text
LIMIT 200
