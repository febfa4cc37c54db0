-- The criteria that differ from their original state, with that state and the changes' authors.
SELECT
    c.name, c.gate, c.weight, c.is_blocker, c.measures,
    (extract(epoch FROM c.fresh_for) * 1000000)::bigint, c.is_enabled,
    c.original, c.changed_by_users, c.changed_at, c.approved_by
FROM crewsnow_ops.criteria AS c
WHERE c.original IS NOT NULL
ORDER BY c.name
