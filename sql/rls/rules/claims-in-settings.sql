-- Setting that carries the identity, preset for a role or the database. Every session that does not
-- set it then runs as that user. Values are not shown.
WITH
-- The settings that policies read, how often, and the constants that they compare them with.
policy_settings AS (
    SELECT lower(s.name) AS name, sum(u.uses) AS uses, sum(cardinality(c.constants)) AS compared,
        array_agg(k.constant) FILTER (WHERE k.constant IS NOT NULL) AS constants
    FROM crewsnow_ops.rls_policy_facts() AS f
    CROSS JOIN LATERAL unnest(f.settings) AS s (name)
    CROSS JOIN LATERAL (
        SELECT 'current_setting\(''' || regexp_replace(s.name, '\W', '\\\&', 'g') || '''' AS call
    ) AS p
    CROSS JOIN LATERAL (
        SELECT count(*) AS uses FROM regexp_matches(f.expression, p.call, 'gi') AS m
    ) AS u
    CROSS JOIN LATERAL (
        SELECT ARRAY(
            SELECT m[1]
            FROM regexp_matches(f.expression, p.call || '[^()]*\) = ''([^'']*)''', 'gi') AS m
        ) AS constants
    ) AS c
    LEFT JOIN LATERAL unnest(c.constants) AS k (constant) ON true
    GROUP BY lower(s.name)
),
found AS (
    SELECT s.setdatabase, s.setrole, split_part(e.entry, '=', 1) AS name,
        substr(e.entry, strpos(e.entry, '=') + 1) AS preset, d.datname, d.datdba,
        r.rolname, r.oid = ANY ($1) OR r.rolcanlogin OR r.oid IS NULL AS takes_effect
    FROM pg_db_role_setting AS s
    CROSS JOIN LATERAL unnest(s.setconfig) AS e (entry)
    LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
    LEFT JOIN pg_roles AS r ON r.oid = s.setrole
    WHERE s.setdatabase IN (0,
        (SELECT c.oid FROM pg_database AS c WHERE c.datname = current_database()))
)
SELECT
    CASE WHEN f.takes_effect THEN 'HIGH' ELSE 'LOW' END AS severity, 'PROVED' AS confidence,
    concat_ws(' in ', 'role ' || quote_ident(f.rolname), 'database ' || quote_ident(f.datname),
        CASE WHEN f.rolname IS NULL AND f.datname IS NULL THEN 'all roles' END) AS object,
    CASE
        WHEN f.rolname IS NOT NULL THEN 'pg_authid'::regclass
        ELSE 'pg_database'::regclass
    END::oid AS classid,
    CASE WHEN f.rolname IS NOT NULL THEN f.setrole ELSE f.setdatabase END AS objid,
    NULL::oid AS relation,
    format(
        '%s carries the identity and is preset: a session that does not set it runs as that user.',
        f.name)
        || CASE
            WHEN f.takes_effect THEN ''
            ELSE ' Role settings apply at login only, and this role cannot log in.'
        END AS detail,
    format('preset: %s (value not shown)', f.name) AS evidence,
    CASE
        WHEN f.rolname IS NULL AND NOT coalesce(pg_has_role(f.datdba, 'USAGE'), false)
            OR f.rolname IS NOT NULL
                AND NOT EXISTS (
                    SELECT FROM pg_roles AS me
                    WHERE me.rolname = current_user AND (me.rolsuper OR me.rolcreaterole)
                ) THEN E'-- as a superuser:\n'
        ELSE ''
    END
        || CASE
            WHEN f.rolname IS NULL AND f.datname IS NOT NULL
                THEN format('ALTER DATABASE %I RESET %I', f.datname, f.name)
            ELSE
                format('ALTER ROLE %s%s RESET %I', coalesce(quote_ident(f.rolname), 'ALL'),
                    coalesce(' IN DATABASE ' || quote_ident(f.datname), ''), f.name)
        END
        || ';' AS remediation,
    NULL::text AS cache_key
FROM found AS f
WHERE lower(f.name) IN (SELECT lower(c.name) FROM unnest($4) AS c (name))
    OR EXISTS (
        SELECT FROM unnest($4) AS c (name)
        WHERE lower(f.name)
            LIKE replace(regexp_replace(lower(c.name), 's$', ''), '_', '\_') || '.%'
    )
    OR EXISTS (
        SELECT FROM policy_settings AS n
        WHERE n.name = lower(f.name) AND n.name LIKE '%.%'
            -- A value that none of the policies accepts opens nothing.
            AND NOT coalesce(n.compared >= n.uses AND f.preset <> ALL (n.constants), false)
    )
ORDER BY NOT f.takes_effect, object, f.name
LIMIT 200
