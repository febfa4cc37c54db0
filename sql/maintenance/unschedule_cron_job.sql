-- Materialized: a condition on the role must hold before a superuser removes a job.
WITH own AS MATERIALIZED (
    SELECT j.jobid FROM cron.job AS j WHERE j.jobname = $1 AND j.username = current_user
)
SELECT o.jobid FROM own AS o WHERE cron.unschedule(o.jobid)
