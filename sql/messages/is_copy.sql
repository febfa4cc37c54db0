-- Whether alerts of another database ticked here, and were not adopted for this one, which $1 and
-- $2 identify
SELECT EXISTS (
    SELECT FROM crewsnow_ops.alert_clock AS c
    WHERE (c.is_muted OR (c.system_identifier, c.database_oid::text) IS DISTINCT FROM ($1, $2))
        AND NOT EXISTS (
            SELECT FROM crewsnow_ops.alert_events AS e
            WHERE e.event = 'adopted'
                AND e.details = jsonb_build_object('system_identifier', $1::text,
                    'database_oid', $2)
        )
)
