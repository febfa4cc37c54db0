-- SECURITY DEFINER function without its own search_path: names resolve by the search_path of the
-- caller. A table or function that the caller creates there, or in pg_temp, replaces the real one
-- and is used with the rights of the owner. For other functions this is a matter of style.
WITH
functions AS (
    SELECT p.oid, p.proowner, p.pronamespace, p.proname, p.prosecdef, n.nspname,
        p.oid::regprocedure::text AS name, p.prokind, p.prosrc,
        (
            SELECT substr(o.setting, 13)
            FROM unnest(p.proconfig) AS o (setting)
            WHERE o.setting LIKE 'search\_path=%'
        ) AS path
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname NOT IN ('c', 'internal')
    WHERE p.prokind IN ('f', 'p')
        AND NOT (
            p.pronamespace = ANY ($6) AND pg_get_userbyid(p.proowner) ~ '^supabase_\w*admin$'
        )
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname !~ '^pg_(toast|temp)'
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
),
-- Schemas in which client roles may create objects.
open_schemas AS (
    SELECT n.oid, n.nspname
    FROM pg_namespace AS n
    WHERE EXISTS (
        SELECT FROM unnest($1) AS c (oid)
        WHERE has_schema_privilege(c.oid, n.oid, 'CREATE')
    )
),
called_indirectly AS (
    SELECT DISTINCT t.tgfoid AS function
    FROM pg_trigger AS t
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
        AND EXISTS (
            SELECT FROM unnest($1) AS c (oid)
            WHERE has_any_column_privilege(c.oid, t.tgrelid, 'INSERT, UPDATE')
                OR has_table_privilege(c.oid, t.tgrelid, 'DELETE')
        )
    UNION
    SELECT d.refobjid
    FROM pg_depend AS d
    WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_proc'::regclass
),
path_elements AS (
    SELECT f.oid, e.place, trim(BOTH ' "' FROM e.name) AS name
    FROM functions AS f, unnest(string_to_array(f.path, ',')) WITH ORDINALITY AS e (name, place)
    WHERE f.prosecdef
),
paths AS (
    SELECT e.oid, bool_or(o.oid IS NOT NULL) AS has_open_schema,
        string_agg(DISTINCT o.nspname, ', ') AS open_names,
        bool_or(e.name NOT IN ('', 'pg_catalog', 'pg_temp')) AS has_schemas,
        (array_agg(e.name ORDER BY e.place DESC))[1] = 'pg_temp' AS ends_with_pg_temp
    FROM path_elements AS e
    LEFT JOIN open_schemas AS o ON o.nspname = e.name
    GROUP BY e.oid
),
found AS (
    SELECT f.*, p.open_names, r.is_reached,
        CASE
            WHEN NOT f.prosecdef THEN 5
            WHEN (f.path IS NULL AND EXISTS (SELECT FROM open_schemas)) OR p.has_open_schema
                THEN CASE WHEN r.is_reached THEN 1 ELSE 3 END
            WHEN f.path IS NULL THEN CASE WHEN r.is_reached THEN 2 ELSE 3 END
            ELSE 4
        END AS rank
    FROM functions AS f
    LEFT JOIN paths AS p ON p.oid = f.oid
    CROSS JOIN LATERAL (
        SELECT f.oid IN (SELECT x.function FROM called_indirectly AS x)
            OR EXISTS (
                SELECT FROM unnest($1) AS c (oid)
                WHERE has_function_privilege(c.oid, f.oid, 'EXECUTE')
                    AND has_schema_privilege(c.oid, f.pronamespace, 'USAGE')
            ) AS is_reached
    ) AS r
    WHERE CASE
        WHEN f.prosecdef
            THEN f.path IS NULL OR p.has_open_schema OR (p.has_schemas AND NOT p.ends_with_pg_temp)
        ELSE
            f.path IS NULL
                AND f.pronamespace <> ALL (
                    SELECT c.relnamespace
                    FROM pg_class AS c
                    WHERE c.oid = ANY ($3)
                )
    END
)
SELECT
    CASE f.rank
        WHEN 1 THEN 'HIGH'
        WHEN 2 THEN 'MEDIUM'
        WHEN 5 THEN 'INFO'
        ELSE 'LOW'
    END AS severity,
    'SUSPECTED' AS confidence,
    CASE f.prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END || f.name AS object,
    'pg_proc'::regclass::oid AS classid, f.oid AS objid, NULL::oid AS relation,
    CASE
        WHEN f.rank = 5 THEN
            'The function runs as its caller and resolves names by the search_path of the caller. '
            'This is harmless unless a role with more rights calls it.'
        WHEN f.path IS NULL THEN
            'The function runs as its owner but resolves names by the search_path of its caller: '
            'objects that the caller creates there are used with the rights of the owner.'
                || CASE f.rank
                    WHEN 1 THEN ' Client roles can create objects in at least one schema.'
                    ELSE ''
                END
        WHEN f.open_names IS NOT NULL THEN format(
            'The function runs as its owner and resolves names in %s, where client roles may '
            'create objects.', f.open_names)
        ELSE
            'The search_path of the function does not end with pg_temp, so temporary tables of the '
            'caller come before the real ones.'
    END AS detail,
    concat_ws('; ',
        CASE WHEN f.prosecdef THEN 'SECURITY DEFINER, owner ' || pg_get_userbyid(f.proowner) END,
        coalesce('search_path = ' || nullif(f.path, ''), 'no search_path'),
        CASE WHEN f.prosecdef AND f.is_reached THEN 'client roles can make it run' END) AS evidence,
    CASE
        WHEN f.rank < 5 THEN
            CASE
                WHEN NOT pg_has_role(f.proowner, 'USAGE') THEN
                    format(E'-- as %s:\n', translate(pg_get_userbyid(f.proowner), E'\n\r', '  '))
                ELSE ''
            END
                || CASE
                    WHEN f.path IS NULL
                        AND f.nspname NOT IN (SELECT o.nspname FROM open_schemas AS o) THEN
                        format('ALTER ROUTINE %s SET search_path = %I, pg_temp;', f.name, f.nspname)
                    WHEN f.path IS NULL THEN
                        format('ALTER ROUTINE %s SET search_path = pg_catalog, pg_temp;', f.name)
                    WHEN f.open_names IS NOT NULL THEN (
                        SELECT string_agg(
                            format(
                                'REVOKE CREATE ON SCHEMA %I FROM PUBLIC, %s;', o.nspname,
                                (
                                    SELECT
                                        string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname)
                                    FROM pg_roles AS r
                                    WHERE r.oid = ANY ($1)
                                )
                            ),
                            E'\n' ORDER BY o.nspname)
                        FROM open_schemas AS o
                        WHERE o.nspname IN (
                            SELECT e.name
                            FROM path_elements AS e
                            WHERE e.oid = f.oid
                        )
                    )
                        || format(
                            E'\nALTER ROUTINE %s SET search_path = %s, pg_temp;', f.name,
                            (
                                SELECT string_agg(quote_ident(e.name), ', ' ORDER BY e.place)
                                FROM path_elements AS e
                                WHERE e.oid = f.oid AND e.name <> 'pg_temp'
                            )
                        )
                    ELSE format(
                        'ALTER ROUTINE %s SET search_path = %s, pg_temp;', f.name,
                        (
                            SELECT string_agg(quote_ident(e.name), ', ' ORDER BY e.place)
                            FROM path_elements AS e
                            WHERE e.oid = f.oid AND e.name <> 'pg_temp'
                        )
                    )
                END
    END AS remediation,
    CASE
        WHEN f.path IS NULL THEN
            format('function_search_path_mutable_%s_%s_%s', f.nspname, f.proname, md5(f.prosrc))
    END AS cache_key
FROM found AS f
ORDER BY f.rank, f.name
LIMIT 200
