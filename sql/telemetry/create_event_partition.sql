-- $1 start, $2 end, in UTC. The statements that make a partition, unless its name is in use.
SELECT format(
    'CREATE TABLE crewsnow_ops.%1$I (
        LIKE @extschema@.event_log INCLUDING COMMENTS INCLUDING CONSTRAINTS INCLUDING DEFAULTS
    ) USING heap;
    COMMENT ON TABLE crewsnow_ops.%1$I IS %5$L;
    CREATE INDEX %2$I ON crewsnow_ops.%1$I USING brin (tx, created_at);
    ALTER TABLE crewsnow_ops.%1$I REPLICA IDENTITY FULL;
    ALTER TABLE @extschema@.event_log ATTACH PARTITION crewsnow_ops.%1$I
        FOR VALUES FROM (%3$L) TO (%4$L)',
    'event_log_' || n.suffix, 'event_log_' || n.suffix || '_tx_created_at_idx', $1, $2,
    'Events of ' || n.suffix || ' (UTC). Made by roll_up_events, dropped by apply_event_retention.'
)
FROM (
    SELECT to_char($1 AT TIME ZONE 'UTC', CASE WHEN $1 = date_trunc('day', $1, 'UTC')
        THEN 'YYYYMMDD' ELSE 'YYYYMMDD_HH24MI' END) AS suffix
) AS n
WHERE to_regclass(format('crewsnow_ops.%I', 'event_log_' || n.suffix)) IS NULL
