-- A SECURITY DEFINER function without search_path of its own looks names up where its caller says: a table or function of the caller's, in a
-- schema or pg_temp, is taken for the real one, with the rights of the owner. For other functions it is a matter of taste.
WITH
functions AS (
    SELECT p.oid, p.proowner, p.pronamespace, p.proname, p.prosecdef, n.nspname, p.oid::regprocedure::text AS name, p.prokind, p.prosrc,
        (SELECT substr(o.setting, 13) FROM unnest(p.proconfig) AS o (setting) WHERE o.setting LIKE 'search\_path=%') AS path
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname NOT IN ('c', 'internal')
    WHERE p.prokind IN ('f', 'p') AND pg_get_userbyid(p.proowner) !~ '^supabase_\w*admin$' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
        AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
),
-- Where clients may make things.
open_schemas AS (
    SELECT n.oid, n.nspname FROM pg_namespace AS n
    WHERE EXISTS (SELECT FROM unnest($1) AS c (oid) WHERE has_schema_privilege(c.oid, n.oid, 'CREATE'))
),
fired AS (
    SELECT DISTINCT t.tgfoid AS function
    FROM pg_trigger AS t
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND EXISTS (
        SELECT FROM unnest($1) AS c (oid)
        WHERE has_any_column_privilege(c.oid, t.tgrelid, 'INSERT, UPDATE') OR has_table_privilege(c.oid, t.tgrelid, 'DELETE'))
    UNION
    SELECT d.refobjid FROM pg_depend AS d WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_proc'::regclass
),
elements AS (
    SELECT f.oid, e.place, trim(BOTH ' "' FROM e.name) AS name
    FROM functions AS f, unnest(string_to_array(f.path, ',')) WITH ORDINALITY AS e (name, place)
    WHERE f.prosecdef
),
paths AS (
    SELECT e.oid, bool_or(o.oid IS NOT NULL) AS is_open, string_agg(DISTINCT o.nspname, ', ') AS open_names,
        bool_or(e.name NOT IN ('', 'pg_catalog', 'pg_temp')) AS has_schemas,
        (array_agg(e.name ORDER BY e.place DESC))[1] = 'pg_temp' AS is_closed
    FROM elements AS e
    LEFT JOIN open_schemas AS o ON o.nspname = e.name
    GROUP BY e.oid
),
found AS (
    SELECT f.*, p.open_names, r.is_reached,
        CASE WHEN NOT f.prosecdef THEN 5
            WHEN (f.path IS NULL AND EXISTS (SELECT FROM open_schemas)) OR p.is_open THEN CASE WHEN r.is_reached THEN 1 ELSE 3 END
            WHEN f.path IS NULL THEN CASE WHEN r.is_reached THEN 2 ELSE 3 END
            ELSE 4 END AS rank
    FROM functions AS f
    LEFT JOIN paths AS p ON p.oid = f.oid
    CROSS JOIN LATERAL (
        SELECT f.oid IN (SELECT x.function FROM fired AS x) OR EXISTS (
            SELECT FROM unnest($1) AS c (oid) WHERE has_function_privilege(c.oid, f.oid, 'EXECUTE')
                AND has_schema_privilege(c.oid, f.pronamespace, 'USAGE')) AS is_reached
    ) AS r
    WHERE CASE WHEN f.prosecdef THEN f.path IS NULL OR p.is_open OR (p.has_schemas AND NOT p.is_closed)
        ELSE f.path IS NULL AND f.pronamespace <> ALL (SELECT c.relnamespace FROM pg_class AS c WHERE c.oid = ANY ($3)) END
)
SELECT
    CASE f.rank WHEN 1 THEN 'HIGH' WHEN 2 THEN 'MEDIUM' WHEN 5 THEN 'INFO' ELSE 'LOW' END AS severity,
    'SUSPECTED' AS confidence,
    CASE f.prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END || f.name AS object, 'pg_proc'::regclass::oid AS classid, f.oid AS objid,
        NULL::oid AS relation,
    CASE
        WHEN f.rank = 5 THEN 'It runs as its caller and finds names where the caller looks: no harm in that, unless one with more rights calls it.'
        WHEN f.path IS NULL THEN 'It runs as its owner and finds names where its caller looks: what the caller puts there runs with the rights of the owner.'
            || CASE f.rank WHEN 1 THEN ' Clients can put something there.' ELSE '' END
        WHEN f.open_names IS NOT NULL THEN format('It runs as its owner and finds names in %s, where clients may make things.', f.open_names)
        ELSE 'Its search_path does not end with pg_temp, so temporary tables of the caller come before the real ones.'
    END AS detail,
    concat_ws('; ', CASE WHEN f.prosecdef THEN 'SECURITY DEFINER, owner ' || pg_get_userbyid(f.proowner) END,
        coalesce('search_path = ' || nullif(f.path, ''), 'no search_path'),
        CASE WHEN f.prosecdef AND f.is_reached THEN 'clients make it run' END) AS evidence,
    CASE WHEN f.rank < 5 THEN
        CASE WHEN NOT pg_has_role(f.proowner, 'USAGE') THEN format(E'-- as %s:\n', translate(pg_get_userbyid(f.proowner), E'\n\r', '  ')) ELSE '' END
        || CASE WHEN f.path IS NULL AND f.nspname NOT IN (SELECT o.nspname FROM open_schemas AS o)
            THEN format('ALTER ROUTINE %s SET search_path = %I, pg_temp;', f.name, f.nspname)
            WHEN f.path IS NULL THEN format('ALTER ROUTINE %s SET search_path = pg_catalog, pg_temp;', f.name)
            WHEN f.open_names IS NOT NULL THEN (SELECT string_agg(format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC, %s;', o.nspname,
                    (SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname) FROM pg_roles AS r WHERE r.oid = ANY ($1))), E'\n'
                        ORDER BY o.nspname)
                    FROM open_schemas AS o WHERE o.nspname IN (SELECT e.name FROM elements AS e WHERE e.oid = f.oid))
                || format(E'\nALTER ROUTINE %s SET search_path = %s, pg_temp;', f.name,
                    (SELECT string_agg(quote_ident(e.name), ', ' ORDER BY e.place) FROM elements AS e WHERE e.oid = f.oid AND e.name <> 'pg_temp'))
            ELSE format('ALTER ROUTINE %s SET search_path = %s, pg_temp;', f.name,
                (SELECT string_agg(quote_ident(e.name), ', ' ORDER BY e.place) FROM elements AS e WHERE e.oid = f.oid AND e.name <> 'pg_temp')) END
    END AS remediation,
    CASE WHEN f.path IS NULL THEN format('function_search_path_mutable_%s_%s_%s', f.nspname, f.proname, md5(f.prosrc)) END AS cache_key
FROM found AS f
ORDER BY f.rank, f.name
LIMIT 200
