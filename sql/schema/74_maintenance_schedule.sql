-- Not in dumps: the numbers of jobs are those of this server's pg_cron.
CREATE TABLE crewsnow_ops.scheduled_jobs (
    job_name text NOT NULL,
    jobid bigint NOT NULL,
    schedule text NOT NULL,
    command text NOT NULL,
    username text NOT NULL,
    scheduled_at timestamptz NOT NULL,
    CONSTRAINT scheduled_jobs_pkey PRIMARY KEY (job_name)
) USING heap;
COMMENT ON TABLE crewsnow_ops.scheduled_jobs IS
    'Jobs that schedule_maintenance registered with pg_cron. Health checks compare it with '
    'pg_cron, whose jobs can vanish.';
COMMENT ON COLUMN crewsnow_ops.scheduled_jobs.job_name IS 'Name of the job in cron.job.';
COMMENT ON COLUMN crewsnow_ops.scheduled_jobs.jobid IS 'Number of the job in cron.job.';
COMMENT ON COLUMN crewsnow_ops.scheduled_jobs.schedule IS 'Five fields of cron, in GMT.';
COMMENT ON COLUMN crewsnow_ops.scheduled_jobs.command IS 'Statement that it runs.';
COMMENT ON COLUMN crewsnow_ops.scheduled_jobs.username IS 'Role that it runs as.';
COMMENT ON COLUMN crewsnow_ops.scheduled_jobs.scheduled_at IS
    'Time of the last schedule_maintenance.';
COMMENT ON CONSTRAINT scheduled_jobs_pkey ON crewsnow_ops.scheduled_jobs IS 'One row per job.';

CREATE FUNCTION crewsnow_ops.schedule_maintenance()
    RETURNS TABLE (job text, schedule text, outcome text, line text)
    LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'schedule_maintenance_wrapper';
COMMENT ON FUNCTION crewsnow_ops.schedule_maintenance() IS
    'Registers roll-up, samples, retention, weekly maintenance and the monthly audit with pg_cron, '
    'as jobs of the caller in this database. Call it again after an update. Where pg_cron is in '
    'another database, line is the statement to run there. Without pg_cron it is a line for '
    'crontab or one for systemd. Errors: 25006 on a standby or in a read-only transaction, 42501 '
    'without USAGE on schema cron, 42710 if another role has scheduled it, 55006 while another '
    'session changes the schedule, 22023.';
CREATE FUNCTION crewsnow_ops.unschedule_maintenance()
    RETURNS TABLE (job text, schedule text, outcome text, line text)
    LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'unschedule_maintenance_wrapper';
COMMENT ON FUNCTION crewsnow_ops.unschedule_maintenance() IS
    'Removes the jobs that schedule_maintenance registered as the caller. Where it could register '
    'none, line undoes the line that it printed. Errors: 25006 on a standby or in a read-only '
    'transaction, 42501 without USAGE on schema cron, 55006 while another session changes the '
    'schedule.';

CREATE FUNCTION crewsnow_ops.maintenance_is_due() RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    opened timestamptz;
BEGIN
    IF EXISTS (SELECT FROM crewsnow_ops.maintenance_windows) THEN
        SELECT min(o.starts_at) INTO opened
        FROM crewsnow_ops.maintenance_occurrences(now(), now() + interval '1 second') AS o
        WHERE o.starts_at <= now() AND NOT o.is_cancelled;
    ELSE
        SELECT w.start AT TIME ZONE 'UTC' INTO opened
        FROM (SELECT date_trunc('week', now() AT TIME ZONE 'UTC') + interval '6 days 2 hours')
            AS w (start)
        WHERE now() AT TIME ZONE 'UTC' >= w.start
            AND now() AT TIME ZONE 'UTC' < w.start + interval '2 hours';
    END IF;
    RETURN opened IS NOT NULL AND NOT EXISTS (
        SELECT FROM crewsnow_ops.maintenance_runs AS r WHERE r.step = 0 AND r.started_at >= opened);
END
$$;
COMMENT ON FUNCTION crewsnow_ops.maintenance_is_due() IS
    'Whether a window is open in which run_performance_maintenance has not run yet. Without '
    'windows: Sunday, 02:00 to 04:00 UTC. For the condition of a job.';

COMMENT ON FUNCTION crewsnow_ops.next_cron_time(text, timestamp) IS
    'The first time after p_after at which a schedule of cron is due, by the clock of the '
    'schedule. NULL for a text that is none, for @reboot, for a date that never comes, and for '
    'NULL.';
REVOKE ALL ON FUNCTION crewsnow_ops.schedule_maintenance(), crewsnow_ops.unschedule_maintenance(),
    crewsnow_ops.maintenance_is_due(), crewsnow_ops.next_cron_time(text, timestamp) FROM PUBLIC;
INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.scheduled_jobs'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.maintenance_is_due()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.next_cron_time(text, timestamp)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.schedule_maintenance()'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.unschedule_maintenance()');
