-- $1 time, $2 system identifier, $3 database, $4 timeline, $5 its beginning, $6 duration in ms,
-- $7 the session, $8 whether the database is a copy
INSERT INTO crewsnow_ops.alert_clock AS c
    (system_identifier, database_oid, timeline, timeline_since, ticked_at, tick_ms, ticks,
        ticked_by, is_muted)
VALUES ($2, $3, $4, $5, $1, $6, 1, $7, $8)
ON CONFLICT (is_only_row) DO UPDATE
SET system_identifier = excluded.system_identifier, database_oid = excluded.database_oid,
    timeline = excluded.timeline, timeline_since = excluded.timeline_since,
    ticked_at = excluded.ticked_at, tick_ms = excluded.tick_ms, ticks = c.ticks + 1,
    ticked_by = excluded.ticked_by, is_muted = excluded.is_muted
