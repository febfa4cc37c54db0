-- The part of a cluster that a dump of one database leaves out: settings, roles, subscriptions.
SELECT jsonb_build_object('kind', 'database', 'scope', 'cluster', 'name', quote_ident(d.datname),
    'definition', jsonb_build_object('owner', pg_get_userbyid(d.datdba),
        'encoding', pg_encoding_to_char(d.encoding), 'collation', d.datcollate,
        'character type', d.datctype, 'connection limit', d.datconnlimit,
        'to', (SELECT jsonb_object_agg(g.grantee, g.privileges)
            FROM (SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC'
                    ELSE pg_get_userbyid(a.grantee)::text END AS grantee,
                    string_agg(DISTINCT a.privilege_type
                        || CASE WHEN a.is_grantable THEN '*' ELSE '' END, ', ') AS privileges
                FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
                GROUP BY 1) AS g)))::text
FROM pg_database AS d
WHERE d.datname = current_database()
UNION ALL
-- Values may be secrets, so that only their hashes are kept.
SELECT jsonb_build_object('kind', 'settings', 'scope', 'cluster',
    'name', format('of %s%s',
        CASE s.setrole WHEN 0 THEN 'every role'
            ELSE 'role ' || quote_ident(pg_get_userbyid(s.setrole)) END,
        CASE s.setdatabase WHEN 0 THEN '' ELSE ' in database ' || quote_ident(d.datname) END),
    'definition', (SELECT jsonb_object_agg(split_part(o, '=', 1), md5(o))
        FROM unnest(s.setconfig) AS o))::text
FROM pg_db_role_setting AS s
LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
WHERE s.setdatabase = 0 OR d.datname = current_database()
UNION ALL
SELECT jsonb_build_object('kind', 'role', 'scope', 'cluster', 'name', quote_ident(r.rolname),
    'definition', to_jsonb(r) - '{oid,rolname,rolpassword,rolconfig}'::text[]
    || jsonb_build_object('member of', coalesce((SELECT jsonb_agg(g.rolname
                || CASE WHEN m.admin_option THEN '*' ELSE '' END ORDER BY g.rolname COLLATE "C")
            FROM (SELECT DISTINCT roleid, member, admin_option FROM pg_auth_members) AS m
            JOIN pg_roles AS g ON g.oid = m.roleid WHERE m.member = r.oid), '[]'::jsonb)))::text
FROM pg_roles AS r
UNION ALL
SELECT jsonb_build_object('kind', 'subscription', 'scope', 'cluster',
    'name', quote_ident(s.subname),
    'definition', jsonb_build_object('owner', pg_get_userbyid(s.subowner), 'enabled', s.subenabled,
        'publications', to_jsonb(s.subpublications)))::text
FROM pg_subscription AS s
JOIN pg_database AS d ON d.oid = s.subdbid
WHERE d.datname = current_database()
