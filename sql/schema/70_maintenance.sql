-- Not in dumps: the runs of one server say nothing about another.
CREATE TABLE crewsnow_ops.maintenance_runs (
    run_id uuid NOT NULL,
    step integer NOT NULL,
    task text NOT NULL,
    object text,
    verdict text NOT NULL CONSTRAINT maintenance_runs_verdict_check
        CHECK (verdict OPERATOR(pg_catalog.=) ANY (ARRAY['DONE', 'SKIPPED', 'FAILED', 'STARTED'])),
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    seconds numeric,
    before jsonb,
    after jsonb,
    detail text,
    command text,
    run_by text NOT NULL,
    leader_pid integer NOT NULL,
    worker_pid integer,
    CONSTRAINT maintenance_runs_pkey PRIMARY KEY (run_id, step)
) USING heap;
COMMENT ON TABLE crewsnow_ops.maintenance_runs IS
    'Runs of run_performance_maintenance: a row for the run (step 0, object NULL) and one for each '
    'table, index, view or partition. A worker commits each row at once, so they survive a run '
    'that is cancelled. Kept as long as crewsnow_ops.rollup_retention.';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.run_id IS 'The run.';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.step IS
    'Number of the step in its run, from 1; 0 is the run itself.';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.task IS
    'The kind of work, for example vacuum or analyze; run for the run itself.';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.object IS
    'Table, index, view or partition, qualified and quoted; NULL for the run itself.';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.verdict IS
    'DONE; SKIPPED, with the reason in detail; FAILED, also of a run that ended before its step; '
    'STARTED while it runs. The run itself has the worst of its steps.';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.started_at IS
    'Time when the step began (clock time).';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.ended_at IS
    'Time when the step ended; NULL while it runs, and if the run ended before it.';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.seconds IS
    'Duration of the step in seconds; NULL as ended_at.';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.before IS
    'Figures before the step, such as dead_rows and frozen_age; NULL if there are none.';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.after IS
    'The same figures after the step; NULL if it was not done.';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.detail IS
    'The effect, or the reason why it was not done; NULL if there is nothing to tell.';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.command IS
    'Command that helps, on one line; NULL if none is needed.';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.run_by IS
    'session_user of the session that ran it.';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.leader_pid IS 'Process id of that session.';
COMMENT ON COLUMN crewsnow_ops.maintenance_runs.worker_pid IS
    'Process id of the background worker; NULL without one.';
COMMENT ON CONSTRAINT maintenance_runs_pkey ON crewsnow_ops.maintenance_runs IS
    'One row per step of a run.';
COMMENT ON CONSTRAINT maintenance_runs_verdict_check ON crewsnow_ops.maintenance_runs IS
    'verdict is DONE, SKIPPED, FAILED or STARTED.';
CREATE INDEX maintenance_runs_started_at ON crewsnow_ops.maintenance_runs (started_at);
COMMENT ON INDEX crewsnow_ops.maintenance_runs_started_at IS 'The latest runs.';

-- The functions of progress show a process of another role to those who may see its statistics.
CREATE VIEW crewsnow_ops.maintenance_progress AS
SELECT m.task, m.object,
    pg_catalog.date_trunc('second', pg_catalog.clock_timestamp()
        OPERATOR(pg_catalog.-) m.started_at) AS running,
    v.phase, CASE WHEN v.heap_blks_total OPERATOR(pg_catalog.>) 0
        THEN pg_catalog.round(100.0 OPERATOR(pg_catalog.*) v.heap_blks_scanned
            OPERATOR(pg_catalog./) v.heap_blks_total, 1) END AS percent,
    m.step, m.run_by, m.leader_pid, m.worker_pid, m.run_id, m.started_at
FROM crewsnow_ops.maintenance_runs AS m
JOIN LATERAL pg_catalog.pg_stat_get_activity(m.worker_pid) AS a
    -- The start of a process is hidden from most roles.
    ON coalesce(a.backend_start OPERATOR(pg_catalog.<=) m.started_at, true)
LEFT JOIN pg_catalog.pg_stat_progress_vacuum AS v ON v.pid OPERATOR(pg_catalog.=) m.worker_pid
    AND m.step OPERATOR(pg_catalog.>) 0
WHERE m.verdict OPERATOR(pg_catalog.=) 'STARTED';
COMMENT ON VIEW crewsnow_ops.maintenance_progress IS
    'Maintenance that runs now: a row for the run (object NULL) and one for its present step.';
COMMENT ON COLUMN crewsnow_ops.maintenance_progress.task IS 'As in maintenance_runs.';
COMMENT ON COLUMN crewsnow_ops.maintenance_progress.object IS 'As in maintenance_runs.';
COMMENT ON COLUMN crewsnow_ops.maintenance_progress.running IS 'Time since it began.';
COMMENT ON COLUMN crewsnow_ops.maintenance_progress.phase IS
    'Phase of VACUUM, as in pg_stat_progress_vacuum; NULL otherwise, and if hidden from the '
    'caller.';
COMMENT ON COLUMN crewsnow_ops.maintenance_progress.percent IS
    'Scanned pages of the table in percent; NULL as phase.';
COMMENT ON COLUMN crewsnow_ops.maintenance_progress.step IS 'As in maintenance_runs.';
COMMENT ON COLUMN crewsnow_ops.maintenance_progress.run_by IS 'As in maintenance_runs.';
COMMENT ON COLUMN crewsnow_ops.maintenance_progress.leader_pid IS
    'Session that waits for it: cancel its statement to end the run.';
COMMENT ON COLUMN crewsnow_ops.maintenance_progress.worker_pid IS 'Background worker.';
COMMENT ON COLUMN crewsnow_ops.maintenance_progress.run_id IS 'The run.';
COMMENT ON COLUMN crewsnow_ops.maintenance_progress.started_at IS 'Time when it began.';

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.maintenance_runs'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.maintenance_progress');
