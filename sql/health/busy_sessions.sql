-- Number of other client sessions that run a statement. Hidden sessions do not count.
SELECT count(*) FROM pg_stat_get_activity(NULL) AS s
WHERE s.state = 'active' AND s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
