-- The search_path that was set for this database, or for all.
SELECT substr(c.setting, length('search_path=') + 1)
FROM pg_db_role_setting AS s
CROSS JOIN unnest(s.setconfig) AS c (setting)
WHERE s.setrole = 0 AND s.setdatabase IN (0,
    (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()))
    AND c.setting LIKE 'search\_path=%'
ORDER BY s.setdatabase DESC
LIMIT 1
