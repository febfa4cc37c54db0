-- $1 integer[], $2 timestamptz[]: pids and backend_starts. The positions of sessions that remain.
SELECT u.position::integer
FROM unnest($1, $2) WITH ORDINALITY AS u (pid, backend_start, position)
JOIN pg_stat_activity AS s ON s.pid = u.pid AND s.backend_start = u.backend_start
