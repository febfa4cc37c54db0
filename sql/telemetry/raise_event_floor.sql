-- $1 time before which events are dropped
INSERT INTO crewsnow_ops.raw_event_floor AS f (floor) VALUES ($1)
ON CONFLICT (only_row) DO UPDATE SET floor = greatest(f.floor, excluded.floor)
