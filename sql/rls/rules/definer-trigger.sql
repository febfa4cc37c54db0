-- Code that runs with the rights of its owner when client roles write: SECURITY DEFINER triggers,
-- which need no EXECUTE, and rewrite rules. It is usually intended, unless a trigger takes the role
-- or tenant of a new account from user-written metadata, or builds statements from the row.
WITH
fired_triggers AS (
    SELECT t.oid, t.tgname, t.tgrelid, p.oid AS function, p.proowner,
        c.oid::regclass::text AS table_name, c.oid = ANY ($3) AS is_users_table,
        string_agg(r.rolname, ', ' ORDER BY r.rolname) AS clients,
        regexp_replace(p.prosrc, '--[^\n]*|/\*([^*]|\*+[^*/])*\*+/', ' ', 'g') AS body
    FROM pg_trigger AS t
    JOIN pg_proc AS p ON p.oid = t.tgfoid AND p.prosecdef
    JOIN pg_class AS c ON c.oid = t.tgrelid
    LEFT JOIN pg_roles AS r ON r.oid = ANY ($1)
        AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
        AND (
            t.tgtype & 4 <> 0 AND has_any_column_privilege(r.oid, c.oid, 'INSERT')
                OR t.tgtype & 8 <> 0 AND has_table_privilege(r.oid, c.oid, 'DELETE')
                OR t.tgtype & 16 <> 0 AND has_any_column_privilege(r.oid, c.oid, 'UPDATE')
                OR t.tgtype & 32 <> 0 AND has_table_privilege(r.oid, c.oid, 'TRUNCATE'))
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgparentid = 0
        AND NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        )
    GROUP BY t.oid, p.oid, c.oid
    HAVING c.oid = ANY ($3) OR count(r.oid) > 0
),
found AS (
    SELECT
        CASE
            WHEN f.body ~*
                'raw_user_meta_data\s*(->>?|#>>?)\s*''\{?(roles?|is_admin|admin|is_staff'
                '|tenant(_id)?|org(ani[sz]ation)?(_id)?|team(_id)?|plan|tier|permissions?'
                '|is_premium)\}?''' THEN 1
            WHEN f.body ~* '\mexecute\M' AND f.body ~* '\mnew\M' THEN 2
            ELSE 4
        END AS rank,
        format('trigger "%s" on %s', replace(f.tgname, '"', '""'), f.table_name) AS object,
        'pg_trigger'::regclass::oid AS classid, f.oid AS objid, f.tgrelid AS relation,
        format('calls %s as %s; fired by %s', f.function::regprocedure, pg_get_userbyid(f.proowner),
            concat_ws(' and ', f.clients, CASE WHEN f.is_users_table THEN 'sign-up' END)
        ) AS evidence,
        NULL::text AS tables
    FROM fired_triggers AS f
    UNION ALL
    SELECT 3, format('rule "%s" on %s', replace(w.rulename, '"', '""'), c.oid::regclass),
        'pg_rewrite'::regclass::oid, w.oid, c.oid,
        format('acts as %s; fired by %s', pg_get_userbyid(c.relowner),
            string_agg(DISTINCT r.rolname, ', ')),
        string_agg(DISTINCT t.oid::regclass::text, ', ')
    FROM pg_rewrite AS w
    JOIN pg_class AS c ON c.oid = w.ev_class
    JOIN pg_roles AS o ON o.oid = c.relowner
    JOIN pg_roles AS r ON r.oid = ANY ($1) AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
        AND CASE w.ev_type
            WHEN '2' THEN has_any_column_privilege(r.oid, c.oid, 'UPDATE')
            WHEN '3' THEN has_any_column_privilege(r.oid, c.oid, 'INSERT')
            ELSE has_table_privilege(r.oid, c.oid, 'DELETE')
        END
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
        AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'n'
    JOIN pg_class AS t ON t.oid = d.refobjid AND t.relrowsecurity AND t.oid <> c.oid
    WHERE w.ev_type <> '1' AND w.ev_enabled <> 'D'
        AND (
            o.rolsuper OR o.rolbypassrls
                OR (NOT t.relforcerowsecurity AND pg_has_role(o.oid, t.relowner, 'USAGE')))
        AND NOT EXISTS (
            SELECT FROM pg_depend AS e
            WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e'
        )
    GROUP BY w.oid, w.rulename, c.oid
)
SELECT
    CASE f.rank WHEN 1 THEN 'HIGH' WHEN 4 THEN 'INFO' ELSE 'MEDIUM' END AS severity,
    'SUSPECTED' AS confidence, f.object, f.classid, f.objid, f.relation,
    CASE f.rank
        WHEN 1 THEN
            'The trigger takes the role, tenant or plan of an account from raw_user_meta_data, '
            'which users write themselves at sign-up.'
        WHEN 2 THEN
            'The trigger runs with the rights of its owner when a client role or a sign-up fires '
            'it, and builds statements. Check that no value of the row enters their text unquoted.'
        WHEN 3 THEN
            format(
                'The rule reaches %s past row-level security when client roles write to this '
                'table.', f.tables)
        ELSE
            'The trigger runs with the rights of its owner when a client role or a sign-up fires '
            'it.'
    END AS detail,
    f.evidence, NULL::text AS remediation, NULL::text AS cache_key
FROM found AS f
ORDER BY f.rank, f.object
LIMIT 200
