-- $1 jsonb: a row of retention_runs. A later row of the same step replaces it, but not the counts
-- that batches have added.
INSERT INTO crewsnow_ops.retention_runs AS m (run_id, step, policy, object, action, verdict, cutoff,
    held_rows, started_at, ended_at, detail, command, run_by, leader_pid, worker_pid)
SELECT r.run_id, r.step,
    coalesce(r.before ->> 'policy', 'built-in: ' || nullif(r.object, '')), r.object, r.task,
    r.verdict, (r.before ->> 'cutoff')::timestamptz, (r.after ->> 'held_rows')::bigint,
    r.started_at, r.ended_at, r.detail, r.command, r.run_by, r.leader_pid, r.worker_pid
FROM jsonb_to_record($1) AS r (run_id uuid, step integer, task text, object text,
    started_at timestamptz, ended_at timestamptz, verdict text, before jsonb, after jsonb,
    detail text, command text, run_by text, leader_pid integer, worker_pid integer)
ON CONFLICT (run_id, step) DO UPDATE SET ended_at = excluded.ended_at, verdict = excluded.verdict,
    held_rows = excluded.held_rows, detail = excluded.detail, command = excluded.command
