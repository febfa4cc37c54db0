-- Settings of this database for all roles: name and value.
SELECT split_part(s.setting, '=', 1), substr(s.setting, strpos(s.setting, '=') + 1)
FROM pg_catalog.pg_db_role_setting AS r
CROSS JOIN LATERAL unnest(r.setconfig) AS s (setting)
JOIN pg_catalog.pg_database AS d ON d.oid = r.setdatabase
WHERE r.setrole = 0 AND d.datname = current_database()
ORDER BY 1
