-- Function that sets the identity for the session instead of the transaction. Behind a pooler the
-- next request on that connection runs as the previous user.
WITH
identity_settings AS (
    SELECT c.name,
        '^' || regexp_replace(regexp_replace(c.name, 's$', ''), '\W', '\\\&', 'g')
            || 's?(\.|$)' AS pattern
    FROM unnest($4) AS c (name)
    UNION
    SELECT DISTINCT s.name, '^' || regexp_replace(s.name, '\W', '\\\&', 'g') || '$'
    FROM crewsnow_ops.rls_policy_facts() AS f, unnest(f.settings) AS s (name)
    WHERE s.name LIKE '%.%'
),
-- set_config with false as its third argument; the second may be any expression.
calls AS (
    SELECT p.oid, p.proowner, m[2] AS name, true AS is_call
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    CROSS JOIN LATERAL regexp_matches(
        regexp_replace(p.prosrc, '--[^\n]*|/\*([^*]|\*+[^*/])*\*+/', ' ', 'g'),
        '(set_config\s*\(\s*''([^'']+)''\s*,(?:[^(),;]|\((?:[^()]|\([^()]*\))*\))*,\s*)false\s*\)',
        'gi') AS m
    UNION ALL
    SELECT p.oid, p.proowner, lower(m[1]), false
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    CROSS JOIN LATERAL regexp_matches(
        regexp_replace(p.prosrc, '--[^\n]*|/\*([^*]|\*+[^*/])*\*+/', ' ', 'g'),
        '(?:^|;|\mbegin|\mthen|\melse|\mloop'
        '|'')\s*set\s+(?:session\s+)?"?([\w.]+\.[\w.]+)"?\s*(?:=|\mto\M)', 'gi') AS m
),
found AS (
    SELECT c.oid, c.proowner, string_agg(DISTINCT c.name, ', ') AS identity_settings,
        bool_and(c.is_call) AS is_call
    FROM calls AS c
    WHERE EXISTS (SELECT FROM identity_settings AS n WHERE c.name ~* n.pattern)
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    GROUP BY c.oid, c.proowner
)
SELECT
    'HIGH' AS severity, 'SUSPECTED' AS confidence, 'function ' || f.oid::regprocedure AS object,
    'pg_proc'::regclass::oid AS classid, f.oid AS objid, NULL::oid AS relation,
    format(
        'The function sets %s for the whole session: on a pooled connection the next request '
        'starts as this user.', f.identity_settings) AS detail,
    CASE
        WHEN f.is_call THEN format('set_config(''%s'', …, false)', f.identity_settings)
        ELSE format('SET %s', f.identity_settings)
    END AS evidence,
    CASE
        WHEN f.is_call THEN
            CASE
                WHEN NOT pg_has_role(f.proowner, 'USAGE') THEN
                    format(E'-- as %s:\n', translate(pg_get_userbyid(f.proowner), E'\n\r', '  '))
                ELSE ''
            END
                || regexp_replace(
                    pg_get_functiondef(f.oid),
                    '(set_config\s*\(\s*''[^'']+''\s*,(?:[^(),;]|\((?:[^()]'
                    '|\([^()]*\))*\))*,\s*)false(\s*\))', '\1true\2', 'gi') || ';'
    END AS remediation,
    NULL::text AS cache_key
FROM found AS f
ORDER BY object
LIMIT 200
