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
        AND has_schema_privilege(r.oid, n.oid, 'USAGE')
    WHERE p.prosecdef AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
    GROUP BY p.oid, o.rolsuper, o.rolbypassrls
),
-- Text that checks the identity: a setting with a dot in its name, a qualified identity function,
-- or one called without arguments. "INSERT INTO role (…)" does not match.
identity_pattern AS (
    SELECT concat_ws(
        '|', '\mcurrent_setting\s*\(\s*(''[^'']*\.|[^''\s])',
        string_agg(format('\m%1$s"?\s*\.\s*"?%2$s"?\s*\(|\m%2$s"?\s*\(\s*\)', x.schema, x.name),
            '|')) AS identity
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL (
        SELECT regexp_replace(n.nspname, '\W', '\\\&', 'g') AS schema,
            regexp_replace(p.proname, '\W', '\\\&', 'g') AS name
    ) AS x
    WHERE p.oid = ANY ($2)
),
bodies AS MATERIALIZED (
    SELECT p.oid, p.proname, l.lanname IN ('sql', 'plpgsql') AS is_text,
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
named_relations AS (
    SELECT DISTINCT c.candidate,
        coalesce(replace(trim('"' FROM m[1]), '""', '"'), lower(m[2])) AS schema,
        coalesce(replace(substr(m[3], 2, length(m[3]) - 2), '""', '"'), lower(m[4])) AS name
    FROM called_functions AS c
    JOIN bodies AS b ON b.oid = c.function AND b.is_text
    CROSS JOIN LATERAL regexp_matches(
        b.body,
        '(?:\m(?:from|join|into|update|using|only|table|truncate)\s+|,\s*)(?:(?:("(?:[^"]|"")+")'
        '|([\w$]+))\s*\.\s*)?(?:("(?:[^"]|"")+")|([\w$]+))', 'gi') AS m
),
tables AS (
    SELECT f.candidate, array_agg(DISTINCT t.oid) AS relations,
        string_agg(DISTINCT t.oid::regclass::text, ', ') AS names
    FROM named_relations AS f
    JOIN pg_class AS t ON t.relname = f.name AND t.relkind IN ('r', 'p') AND t.relrowsecurity
    JOIN pg_namespace AS n ON n.oid = t.relnamespace AND (f.schema IS NULL OR n.nspname = f.schema)
    JOIN candidates AS c ON c.oid = f.candidate
    WHERE c.owner_bypasses_rls
        OR (NOT t.relforcerowsecurity AND pg_has_role(c.proowner, t.relowner, 'USAGE'))
    GROUP BY f.candidate
),
text_facts AS (
    SELECT c.candidate, bool_or(b.body ~ w.identity) AS checks_identity,
        bool_or(
            b.body ~* '\m(insert\s+into|update|delete\s+from|merge\s+into|truncate)\M') AS writes,
        bool_or(NOT b.is_text) AS is_opaque,
        bool_or(b.is_text AND b.body ~* '\mexecute\M') AS is_dynamic
    FROM called_functions AS c
    JOIN bodies AS b ON b.oid = c.function
    CROSS JOIN identity_pattern AS w
    GROUP BY c.candidate
),
ranked AS (
    SELECT c.*, t.relations, t.names, x.checks_identity, x.writes, x.is_dynamic,
        CASE
            WHEN x.checks_identity THEN 4
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
    END AS detail,
    format('callable by %s; owner %s; language %s; returns %s', r.callers,
        pg_get_userbyid(r.proowner),
        (SELECT l.lanname FROM pg_language AS l WHERE l.oid = r.prolang),
        coalesce(pg_get_function_result(r.oid), 'nothing')) AS evidence,
    CASE
        WHEN r.rank < 4 THEN
            CASE
                WHEN NOT pg_has_role(r.proowner, 'USAGE') THEN
                    format(E'-- as %s:\n', translate(pg_get_userbyid(r.proowner), E'\n\r', '  '))
                ELSE ''
            END
                || CASE
                    WHEN r.rank < 3
                        AND NOT EXISTS (
                            SELECT FROM unnest(r.relations) AS t (oid), unnest(r.roles) AS c (oid)
                            WHERE NOT has_any_column_privilege(c.oid, t.oid, 'SELECT')
                        ) THEN format('ALTER ROUTINE %s SECURITY INVOKER;', r.oid::regprocedure)
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
                                HAVING count(*) > 0
                            ),
                            '')
                END
    END AS remediation,
    CASE
        WHEN r.is_for_anon OR r.callers ~ '\mauthenticated\M' THEN
            format('%s_security_definer_function_executable_%s_%s_%s',
                CASE WHEN r.is_for_anon THEN 'anon' ELSE 'authenticated' END,
                (SELECT n.nspname FROM pg_namespace AS n WHERE n.oid = r.pronamespace), r.proname,
                pg_get_function_identity_arguments(r.oid))
    END AS cache_key
FROM ranked AS r
ORDER BY r.rank, r.pronamespace <> ALL ($5), r.names IS NULL, r.oid::regprocedure::text
LIMIT 200
