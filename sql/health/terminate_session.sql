-- $1 pid, $2 backend_start: a row if it was this session's. It is given a second to end.
SELECT pg_terminate_backend(s.pid, 1000) FROM pg_stat_activity AS s WHERE s.pid = $1 AND s.backend_start = $2
