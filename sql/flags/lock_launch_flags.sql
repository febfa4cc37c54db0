-- pg_restore -j loads flags and flag history concurrently. Both remove unchanged launch flags; this
-- lock serializes them.
LOCK TABLE crewsnow_ops.launch_flags IN SHARE ROW EXCLUSIVE MODE
