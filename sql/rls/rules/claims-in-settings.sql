-- A setting that policies take for the identity, preset for a role or the database: every session that begins with it is that user, and a
-- request that sets nothing is, too. Values are not shown.
WITH
names AS (
    SELECT DISTINCT s.name FROM crewsnow_ops.rls_policy_facts() AS f, unnest(f.settings) AS s (name)
),
found AS (
    SELECT s.setdatabase, s.setrole, split_part(e.entry, '=', 1) AS name, d.datname, d.datdba, r.rolname,
        r.oid = ANY ($1) OR r.rolcanlogin OR r.oid IS NULL AS is_used
    FROM pg_db_role_setting AS s
    CROSS JOIN LATERAL unnest(s.setconfig) AS e (entry)
    LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
    LEFT JOIN pg_roles AS r ON r.oid = s.setrole
    WHERE s.setdatabase IN (0, (SELECT c.oid FROM pg_database AS c WHERE c.datname = current_database()))
)
SELECT
    CASE WHEN f.is_used THEN 'HIGH' ELSE 'LOW' END AS severity,
    'PROVED' AS confidence,
    concat_ws(' in ', 'role ' || quote_ident(f.rolname), 'database ' || quote_ident(f.datname), CASE WHEN f.rolname IS NULL AND f.datname IS NULL
        THEN 'all roles' END) AS object,
    CASE WHEN f.rolname IS NOT NULL THEN 'pg_authid'::regclass ELSE 'pg_database'::regclass END::oid AS classid,
    CASE WHEN f.rolname IS NOT NULL THEN f.setrole ELSE f.setdatabase END AS objid, NULL::oid AS relation,
    format('%s is preset, and it says who is asking: sessions that set nothing themselves are that user.', f.name)
        || CASE WHEN f.is_used THEN '' ELSE ' A role takes its settings at login only, and this one does not log in.' END AS detail,
    format('preset: %s (value not shown)', f.name) AS evidence,
    CASE WHEN f.rolname IS NULL AND NOT coalesce(pg_has_role(f.datdba, 'USAGE'), false) OR f.rolname IS NOT NULL AND NOT EXISTS (
            SELECT FROM pg_roles AS me WHERE me.rolname = current_user AND (me.rolsuper OR me.rolcreaterole)) THEN E'-- as a superuser:\n' ELSE '' END
        || CASE WHEN f.rolname IS NULL AND f.datname IS NOT NULL THEN format('ALTER DATABASE %I RESET %I', f.datname, f.name)
            ELSE format('ALTER ROLE %s%s RESET %I', coalesce(quote_ident(f.rolname), 'ALL'), coalesce(' IN DATABASE ' || quote_ident(f.datname), ''),
                f.name) END || ';' AS remediation,
    NULL::text AS cache_key
FROM found AS f
WHERE f.name = ANY ($4) OR EXISTS (SELECT FROM unnest($4) AS c (name) WHERE f.name LIKE replace(regexp_replace(c.name, 's$', ''), '_', '\_') || '.%')
    OR f.name IN (SELECT n.name FROM names AS n WHERE n.name LIKE '%.%')
ORDER BY NOT f.is_used, object, f.name
LIMIT 200
