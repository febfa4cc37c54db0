-- Other roles whose jobs pg_cron still has.
SELECT DISTINCT s.username
FROM crewsnow_ops.scheduled_jobs AS s
JOIN cron.job AS j ON j.jobid = s.jobid
WHERE s.username <> $1
