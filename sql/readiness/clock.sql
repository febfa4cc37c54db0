-- The latest record that is newer than $1: its kind, and by how many microseconds. Records are
-- ordered by their sequence numbers, so the first record after a step of the clock ends this.
SELECT l.kind, (extract(epoch FROM l.at - $1) * 1000000)::bigint
FROM (
    (
        SELECT 'decision' AS kind, d.decided_at AS at
        FROM crewsnow_ops.decisions AS d ORDER BY d.sequence_number DESC LIMIT 1
    )
    UNION ALL
    (
        SELECT 'evidence', e.recorded_at
        FROM crewsnow_ops.evidence AS e ORDER BY e.sequence_number DESC LIMIT 1
    )
    UNION ALL
    (
        SELECT 'waiver', greatest(w.requested_at, w.approved_at, w.revoked_at)
        FROM crewsnow_ops.waivers AS w ORDER BY w.sequence_number DESC LIMIT 1
    )
) AS l
WHERE l.at > $1
ORDER BY l.at DESC LIMIT 1
