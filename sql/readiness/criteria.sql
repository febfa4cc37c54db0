-- The criteria of the gate $1 for the release $2, each with the last evidence that was recorded for it, the last run of its tests, and the
-- waiver that holds or, without one, the last that was asked for. Times as they are; how long evidence counts in microseconds.
SELECT
    c.name, c.category, c.weight, c.is_blocker, c.measures,
    e.id::text, e.passed, e.recorded_at, least(e.recorded_at + c.fresh_for, e.valid_until), e.recorded_by,
    r.passed, r.recorded_at, r.recorded_at + c.fresh_for,
    w.id::text, w.reason, w.requested_by, w.approved_by, w.expires_at
FROM crewsnow_ops.criteria AS c
LEFT JOIN LATERAL (
    SELECT e.* FROM crewsnow_ops.evidence AS e
    WHERE e.criterion = c.name AND e.source = 'recorded' AND (e.release IS NULL OR e.release = $2)
    ORDER BY e.recorded_at DESC LIMIT 1
) AS e ON true
LEFT JOIN LATERAL (
    SELECT r.* FROM crewsnow_ops.evidence AS r WHERE r.criterion = c.name AND r.source = 'tests' ORDER BY r.recorded_at DESC LIMIT 1
) AS r ON true
LEFT JOIN LATERAL (
    SELECT w.* FROM crewsnow_ops.waivers AS w
    WHERE w.criterion = c.name AND w.revoked_at IS NULL AND (w.release IS NULL OR w.release = $2)
    ORDER BY w.expires_at > pg_catalog.clock_timestamp() AND (w.approved_at IS NOT NULL OR NOT c.is_blocker) DESC, w.requested_at DESC
    LIMIT 1
) AS w ON true
WHERE c.is_enabled AND c.gate IN ('go_no_go', $1)
ORDER BY c.gate, c.weight DESC, c.name
