-- Policies, triggers and rules of tables.
SELECT jsonb_strip_nulls(jsonb_build_object(
    'kind', o.kind,
    'name', format('%I on %I.%I', o.name, n.nspname, c.relname),
    'parent', format('%I.%I', n.nspname, c.relname),
    'extension', e.extname,
    'definition', o.definition))::text
FROM (
    SELECT 'policy' AS kind, p.polname AS name, p.polrelid AS relation, jsonb_build_object(
        'command', p.polcmd,
        'permissive', p.polpermissive,
        'roles', (SELECT jsonb_agg(role ORDER BY role COLLATE "C") FROM (SELECT
            CASE r.oid WHEN 0 THEN 'public' ELSE pg_get_userbyid(r.oid)::text END AS role
            FROM unnest(p.polroles) AS r (oid)) AS roles),
        'USING', pg_get_expr(p.polqual, p.polrelid),
        'WITH CHECK', pg_get_expr(p.polwithcheck, p.polrelid)) AS definition
    FROM pg_policy AS p
    UNION ALL
    SELECT 'trigger', t.tgname, t.tgrelid, jsonb_build_object(
        'definition', pg_get_triggerdef(t.oid), 'enabled', t.tgenabled)
    FROM pg_trigger AS t
    WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'rule', r.rulename, r.ev_class, jsonb_build_object(
        'definition', pg_get_ruledef(r.oid), 'enabled', r.ev_enabled)
    FROM pg_rewrite AS r
    WHERE r.rulename <> '_RETURN'
) AS o
JOIN pg_class AS c ON c.oid = o.relation
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_depend AS x ON x.classid = 'pg_class'::regclass AND x.objid = c.oid
    AND x.objsubid = 0 AND x.deptype = 'e'
LEFT JOIN pg_extension AS e ON e.oid = x.refobjid
WHERE c.oid >= 16384 AND n.nspname !~ '^pg_(temp|toast)'
