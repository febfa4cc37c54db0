-- Directories of the server's files, for statvfs. A role without pg_read_all_settings (pg_monitor)
-- sees the locations of tablespaces but not data_directory: its path is NULL.
SELECT w.name, d.path || w.suffix AS path
FROM (VALUES ('data_directory', ''), ('pg_wal', '/pg_wal')) AS w (name, suffix)
CROSS JOIN (SELECT (SELECT s.setting FROM pg_settings AS s WHERE s.name = 'data_directory') AS path)
    AS d
UNION ALL
SELECT 'tablespace ' || t.spcname, pg_tablespace_location(t.oid) FROM pg_tablespace AS t
WHERE pg_tablespace_location(t.oid) <> ''
