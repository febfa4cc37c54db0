-- The events of the next $1 weeks. The week of a weekly window is part of its identity: a window
-- that moves to another day moves its events.
SELECT w.window_id::text || CASE WHEN w.weekday IS NULL THEN ''
        ELSE to_char(o.local_date, '-IYYY"W"IW') END AS uid,
    o.starts_at, o.ends_at, w.changed_at, w.revision, o.is_cancelled, w.summary,
    format('Window %s: %s, %s to %s (%s)', w.name,
        to_char(o.starts_at AT TIME ZONE w.time_zone, 'FMDay FMDD FMMonth YYYY'),
        to_char(o.starts_at AT TIME ZONE w.time_zone, 'HH24:MI'),
        to_char(o.ends_at AT TIME ZONE w.time_zone, 'HH24:MI'), w.time_zone) AS description
FROM crewsnow_ops.maintenance_occurrences(now(), now() + make_interval(hours => 168 * $1)) AS o
JOIN crewsnow_ops.maintenance_windows AS w ON w.name = o.name
ORDER BY o.starts_at, w.window_id
