WITH
locked AS (UPDATE crewsnow_ops.rollup_state SET covered = '1:1:', system_identifier = 0,
    database = 0 RETURNING only_row)
DELETE FROM crewsnow_ops.event_rollups
WHERE minute >= coalesce((SELECT f.floor FROM crewsnow_ops.raw_event_floor AS f), '-infinity')
    AND EXISTS (SELECT FROM locked)
