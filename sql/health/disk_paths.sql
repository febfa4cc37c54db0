-- Where the server's files are, for statvfs. Plain roles see tablespaces' names only: data_directory is of pg_read_all_settings (pg_monitor).
SELECT 'data_directory' AS what, s.setting AS path FROM pg_settings AS s WHERE s.name = 'data_directory'
UNION ALL
SELECT 'pg_wal', s.setting || '/pg_wal' FROM pg_settings AS s WHERE s.name = 'data_directory'
UNION ALL
SELECT 'tablespace ' || t.spcname, pg_tablespace_location(t.oid) FROM pg_tablespace AS t WHERE pg_tablespace_location(t.oid) <> ''
