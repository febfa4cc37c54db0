-- The number of planned flags, and a row for each flag that differs from the plan, or one of NULLs.
-- The last column names the shipped rows of the plan that were changed, each with its author.
SELECT
    (
        SELECT count(*) FROM crewsnow_ops.launch_plan AS p
        WHERE p.is_enabled IS NOT NULL OR p.rollout_steps IS NOT NULL
    ),
    o.flag_key, o.deviation, o.command,
    (
        SELECT string_agg(p.flag_key || ' by ' || p.changed_by, ', ' ORDER BY p.flag_key)
        FROM crewsnow_ops.launch_plan AS p WHERE p.seeded AND p.changed_at IS NOT NULL
    )
FROM (SELECT) AS one LEFT JOIN crewsnow_ops.flags_off_plan AS o ON true
ORDER BY o.flag_key
