-- Own tables with a retention of their own, and those that are kept on purpose.
SELECT b.verdict, b.object, b.action, b.detail, b.command
FROM (VALUES
    ('CLEAR', 'crewsnow_ops.connection_samples', 'delete', 'a day: roll_up_events removes older ones', NULL),
    ('CLEAR', 'crewsnow_ops.health_samples', 'delete', 'sample_health removes old ones, statement_samples included', NULL),
    ('CLEAR', 'crewsnow_ops.maintenance_runs', 'delete', 'crewsnow_ops.rollup_retention: the next run removes older ones', NULL),
    ('KEPT', 'crewsnow_ops.decisions', 'keep', 'accountability: decisions and their evidence, waivers and freezes', NULL),
    ('KEPT', 'crewsnow_ops.flag_history', 'keep', 'accountability: erase_user_from_flags takes a person out', NULL),
    ('KEPT', 'crewsnow_ops.event_erasures', 'keep', 'accountability: records of erasures', NULL),
    ('KEPT', 'crewsnow_ops.session_actions', 'keep', 'accountability: sessions that were ended', NULL),
    ('KEPT', 'crewsnow_ops.retention_runs', 'keep', 'accountability: proof that retention was applied', NULL),
    ('KEPT', 'processed_events', 'keep', 'its ids detect redeliveries; payloads are erased by UPDATE', NULL)
) AS b (verdict, object, action, detail, command)
