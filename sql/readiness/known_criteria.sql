-- Every criterion, and whether evidence for it may count for the time $1.
SELECT c.name, c.fresh_for::text, $1 > interval '0' AND $1 <= c.fresh_for, c.is_blocker FROM crewsnow_ops.criteria AS c ORDER BY c.name
