-- Flags that do not stand as planned, what is wrong, and what puts it right; and how many are looked at.
SELECT (SELECT count(*) FROM crewsnow_ops.launch_plan AS p WHERE p.is_enabled IS NOT NULL OR p.rollout_steps IS NOT NULL), o.flag_key, o.deviation, o.command
FROM (SELECT) AS one LEFT JOIN crewsnow_ops.flags_off_plan AS o ON true
ORDER BY o.flag_key
