-- $1 pid, $2 backend_start: no row if that session is gone. The session has one second to end.
SELECT pg_terminate_backend(s.pid, 1000)
FROM pg_stat_activity AS s
WHERE s.pid = $1 AND s.backend_start = $2
