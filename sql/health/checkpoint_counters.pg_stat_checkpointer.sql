-- Same columns as checkpoint_counters.sql, from PostgreSQL 17 on.
SELECT b.num_timed AS timed, b.num_requested AS requested, b.write_time AS write_ms,
    b.sync_time AS sync_ms, b.buffers_written AS buffers,
    b.stats_reset
FROM pg_stat_checkpointer AS b
