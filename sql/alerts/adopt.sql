-- $1 system identifier, $2 database, $3 now
INSERT INTO crewsnow_ops.alert_events (at, event, actor, details)
VALUES ($3, 'adopted', session_user,
    jsonb_build_object('system_identifier', $1, 'database_oid', $2))
