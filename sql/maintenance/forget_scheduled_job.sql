-- Only where pg_cron has no such job any more: other roles keep theirs.
DELETE FROM crewsnow_ops.scheduled_jobs AS s
WHERE s.job_name = $1
    AND NOT EXISTS (SELECT FROM cron.job AS j WHERE j.jobid = s.jobid)
