-- Where the server's files are, for statvfs. Plain roles see where tablespaces are, but not data_directory, which is of pg_read_all_settings
-- (pg_monitor): to them it is NULL.
SELECT w.what, d.path || w.below AS path
FROM (VALUES ('data_directory', ''), ('pg_wal', '/pg_wal')) AS w (what, below)
CROSS JOIN (SELECT (SELECT s.setting FROM pg_settings AS s WHERE s.name = 'data_directory') AS path) AS d
UNION ALL
SELECT 'tablespace ' || t.spcname, pg_tablespace_location(t.oid) FROM pg_tablespace AS t WHERE pg_tablespace_location(t.oid) <> ''
