-- $1 time, $2 integer[] pids, $3 text[] outcomes
UPDATE crewsnow_ops.session_actions AS a
SET outcome = u.outcome, was_there = u.outcome <> 'gone'
FROM unnest($2, $3) AS u (pid, outcome)
WHERE a.acted_at = $1 AND a.pid = u.pid
