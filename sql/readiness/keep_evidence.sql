-- Stores evidence, and deletes test runs after 90 days: each decision keeps its own inputs.
-- valid_until is fixed now, so that a longer fresh_for cannot revive evidence later.
WITH old AS (
    DELETE FROM crewsnow_ops.evidence AS e
    WHERE e.source = 'tests' AND e.criterion = $2
        AND e.recorded_at < pg_catalog.clock_timestamp() - interval '90 days'
)
INSERT INTO crewsnow_ops.evidence (
    id, criterion, passed, source, release, details, recorded_at, valid_until, recorded_by,
    is_typed
)
SELECT $1, $2, $3, $4, $5, $6, t.now, t.now + least($7, c.fresh_for), $8, $9
FROM (SELECT pg_catalog.clock_timestamp() AS now) AS t, crewsnow_ops.criteria AS c
WHERE c.name = $2
