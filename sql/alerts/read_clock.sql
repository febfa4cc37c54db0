-- The latest tick, the rule that ran when a session ended, the timeline, and the window that is
-- open at $1. Without a tick, one row of NULLs. $2 and $3 identify the database
SELECT c.ticked_at, c.system_identifier, c.database_oid, c.timeline, c.timeline_since, c.is_muted,
    p.last_value,
    ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint,
    (
        SELECT min(o.name)
        FROM crewsnow_ops.maintenance_occurrences($1, $1 + interval '1 microsecond') AS o
        WHERE o.starts_at <= $1 AND $1 < o.ends_at AND NOT o.is_cancelled
    ),
    EXISTS (
        SELECT FROM crewsnow_ops.alert_events AS e
        WHERE e.event = 'adopted'
            AND e.details = jsonb_build_object('system_identifier', $2::text,
                'database_oid', $3::text)
    )
FROM crewsnow_ops.tick_progress AS p
LEFT JOIN crewsnow_ops.alert_clock AS c ON true
