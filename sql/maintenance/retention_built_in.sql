-- Own tables with a retention of their own, and those that are kept on purpose.
SELECT b.verdict, b.object, b.action, b.detail
FROM (VALUES
    ('CLEAR', 'crewsnow_ops.connection_samples', 'delete',
        'a day: roll_up_events removes older ones'),
    ('CLEAR', 'crewsnow_ops.health_samples', 'delete',
        'sample_health removes old ones, statement_samples included'),
    ('CLEAR', 'crewsnow_ops.maintenance_runs', 'delete',
        'crewsnow_ops.rollup_retention: the next run removes older ones'),
    ('KEPT', 'crewsnow_ops.decisions', 'keep',
        'accountability: decisions and their evidence, waivers and freezes'),
    ('KEPT', 'crewsnow_ops.flag_history', 'keep',
        'accountability: erase_user_from_flags takes a person out'),
    ('KEPT', 'crewsnow_ops.event_erasures', 'keep', 'accountability: records of erasures'),
    ('KEPT', 'crewsnow_ops.session_actions', 'keep', 'accountability: sessions that were ended'),
    ('KEPT', 'crewsnow_ops.retention_runs', 'keep',
        'accountability: proof that retention was applied'),
    ('KEPT', 'processed_events', 'keep',
        'its ids detect redeliveries; payloads are erased by UPDATE')
) AS b (verdict, object, action, detail)
