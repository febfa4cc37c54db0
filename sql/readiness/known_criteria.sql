-- Every criterion, whether evidence for it may count for the time $1, and what it looks at.
SELECT
    c.name, c.fresh_for::text, $1 > interval '0' AND $1 <= c.fresh_for, c.is_blocker, 'tests' = ANY (c.measures),
    c.measures && '{alert-rules,delivery-queue,open-incidents,recent-escalations,evidence}'
FROM crewsnow_ops.criteria AS c ORDER BY c.name
