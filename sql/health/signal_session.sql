-- $1 pid, $2 backend_start, $3 whether only its statement is cancelled. No row if that session is
-- gone.
SELECT CASE WHEN $3 THEN pg_cancel_backend(s.pid) ELSE pg_terminate_backend(s.pid) END
FROM pg_stat_activity AS s
WHERE s.pid = $1 AND s.backend_start = $2
