INSERT INTO crewsnow_ops.scheduled_jobs AS s
    (job_name, jobid, schedule, command, username, scheduled_at)
VALUES ($1, $2, $3, $4, $5, clock_timestamp())
ON CONFLICT (job_name) DO UPDATE
SET jobid = excluded.jobid, schedule = excluded.schedule, command = excluded.command,
    username = excluded.username, scheduled_at = excluded.scheduled_at
