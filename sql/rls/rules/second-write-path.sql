-- SECURITY DEFINER function that checks what it writes, while client roles may write the same table
-- directly and so skip the checks.
WITH
functions AS (
    SELECT p.oid, p.prokind,
        regexp_replace(p.prosrc, '--[^\n]*|/\*([^*]|\*+[^*/])*\*+/', ' ', 'g') AS body
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
    WHERE p.prosecdef AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
        AND p.prosrc ~* '\mraise\s+(exception|sqlstate|''|[a-z_]+\s*;|using)'
        AND EXISTS (
            SELECT FROM unnest($1) AS c (oid)
            WHERE has_function_privilege(c.oid, p.oid, 'EXECUTE')
                AND has_schema_privilege(c.oid, n.oid, 'USAGE')
        )
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
),
writes AS (
    SELECT DISTINCT f.oid, f.prokind, t.oid AS relation, w.command
    FROM functions AS f
    CROSS JOIN LATERAL regexp_matches(
        f.body,
        '\m(insert\s+into|update'
        '|delete\s+from)\s+(?:only\s+)?(?:"?([\w$]+)"?\s*\.\s*)?"?([\w$]+)"?', 'gi') AS m
    JOIN pg_class AS t ON t.relname IN (m[3], lower(m[3])) AND t.relkind IN ('r', 'p')
        AND t.relrowsecurity
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
        AND (m[2] IS NULL OR n.nspname IN (m[2], lower(m[2])))
    CROSS JOIN LATERAL (
        SELECT upper(split_part(regexp_replace(m[1], '\s+', ' ', 'g'), ' ', 1)) AS command
    ) AS w
),
found AS (
    SELECT w.oid, w.prokind, w.relation, string_agg(DISTINCT w.command, ', ') AS commands,
        string_agg(DISTINCT r.rolname, ', ') AS clients
    FROM writes AS w
    JOIN pg_class AS t ON t.oid = w.relation
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND has_schema_privilege(r.oid, t.relnamespace, 'USAGE')
        AND CASE w.command
            WHEN 'DELETE' THEN has_table_privilege(r.oid, t.oid, 'DELETE')
            ELSE has_any_column_privilege(r.oid, t.oid, w.command)
        END
    WHERE EXISTS (
        SELECT FROM pg_policy AS p
        WHERE p.polrelid = t.oid AND p.polpermissive
            AND p.polcmd IN ('*',
                CASE w.command WHEN 'INSERT' THEN 'a' WHEN 'UPDATE' THEN 'w' ELSE 'd' END::"char")
            AND EXISTS (
                SELECT FROM unnest(p.polroles) AS l (oid)
                WHERE l.oid = 0 OR pg_has_role(r.oid, l.oid, 'USAGE')
            )
    )
    GROUP BY w.oid, w.prokind, w.relation
)
SELECT
    'LOW' AS severity, 'SUSPECTED' AS confidence,
    CASE f.prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END || f.oid::regprocedure AS object,
    'pg_proc'::regclass::oid AS classid, f.oid AS objid, f.relation,
    format(
        'The function checks what it writes to %s, but client roles may also write there directly, '
        'where only the policies check.', f.relation::regclass) AS detail,
    format('%s on %s by the function and by %s', f.commands, f.relation::regclass,
        f.clients) AS evidence,
    NULL::text AS remediation, NULL::text AS cache_key
FROM found AS f
ORDER BY object, f.relation::regclass::text
LIMIT 200
