-- $1 jsonb: a row of maintenance_runs. A later row of the same step replaces it.
INSERT INTO crewsnow_ops.maintenance_runs AS m (run_id, step, task, object, started_at, ended_at,
    seconds, verdict, before, after, detail, command, run_by, leader_pid, worker_pid)
SELECT r.run_id, r.step, r.task, r.object, r.started_at, r.ended_at, round(r.seconds, 3),
    r.verdict, r.before, r.after, r.detail, r.command, r.run_by, r.leader_pid, r.worker_pid
FROM jsonb_to_record($1) AS r (run_id uuid, step integer, task text, object text,
    started_at timestamptz, ended_at timestamptz, seconds numeric, verdict text, before jsonb,
    after jsonb, detail text, command text, run_by text, leader_pid integer, worker_pid integer)
ON CONFLICT (run_id, step) DO UPDATE SET ended_at = excluded.ended_at, seconds = excluded.seconds,
    verdict = excluded.verdict, before = excluded.before, after = excluded.after,
    detail = excluded.detail, command = excluded.command
