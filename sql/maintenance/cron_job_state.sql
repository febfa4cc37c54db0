-- How a job that exists changes: $1 name, $2 schedule, $3 command.
SELECT CASE WHEN NOT j.active THEN 'switched off; SELECT cron.alter_job(job_id => ' || j.jobid
        || ', active => true) starts it'
    WHEN j.schedule = $2 AND j.command = $3 THEN 'unchanged' ELSE 'changed' END
FROM cron.job AS j
WHERE j.jobname = $1 AND j.username = current_user
