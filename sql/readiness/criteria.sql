-- The enabled criteria of the gate $1 for the release $2. Each row holds:
-- - the passing evidence that is valid longest, for this release or for each;
-- - the latest failing evidence of the same scope that is not answered. Its author answers it, or
--   two users do. Evidence for one release does not answer evidence for each release, nor the
--   reverse;
-- - the latest run of its tests, and whether it ran the tests that are registered now;
-- - the waiver in force or, without one, the latest request.
-- The clock may have run backwards. So sequence_number orders records, and a record of the future
-- supports nothing. $3 is the time that counts as the future.
SELECT
    c.name, c.category, c.weight, c.is_blocker, c.measures,
    e.id::text, e.recorded_at, e.fresh_until, e.recorded_by,
    o.id::text, o.recorded_at, o.recorded_at, o.recorded_by,
    r.passed, r.recorded_at, r.fresh_until,
    r.tests IS NOT DISTINCT FROM (
        SELECT array_agg(t.name || ' ' || t.function ORDER BY t.name)
        FROM crewsnow_ops.e2e_tests AS t WHERE t.criterion = c.name
    ),
    w.id::text, w.reason, w.requested_by, w.approved_by, w.expires_at,
    o.answered_by
FROM crewsnow_ops.criteria AS c
LEFT JOIN LATERAL (
    SELECT e.*, least(e.recorded_at + c.fresh_for, e.valid_until) AS fresh_until
    FROM crewsnow_ops.evidence AS e
    WHERE e.criterion = c.name AND e.source = 'recorded' AND e.passed
        AND (e.release IS NULL OR e.release = $2) AND e.recorded_at < $3
    ORDER BY fresh_until DESC LIMIT 1
) AS e ON true
LEFT JOIN LATERAL (
    SELECT o.*, a.answered_by
    FROM crewsnow_ops.evidence AS o
    CROSS JOIN LATERAL (
        SELECT min(a.recorded_by) AS answered_by, count(DISTINCT a.recorded_by) AS users,
            coalesce(bool_or(a.recorded_by = o.recorded_by), false) AS is_by_author
        FROM crewsnow_ops.evidence AS a
        WHERE a.criterion = c.name AND a.source = 'recorded' AND a.passed AND a.is_typed
            AND a.sequence_number > o.sequence_number AND a.recorded_at < $3
            AND a.release IS NOT DISTINCT FROM o.release
    ) AS a
    WHERE o.criterion = c.name AND o.source = 'recorded' AND NOT o.passed
        AND (o.release IS NULL OR o.release = $2)
        AND a.users < 2 AND NOT a.is_by_author
    ORDER BY o.sequence_number DESC LIMIT 1
) AS o ON true
LEFT JOIN LATERAL (
    SELECT
        r.*,
        least(r.recorded_at + c.fresh_for, r.valid_until) AS fresh_until,
        (
            SELECT array_agg(t ->> 'test' || ' ' || (t ->> 'function') ORDER BY t ->> 'test')
            FROM jsonb_array_elements(r.details -> 'tests') AS t
        ) AS tests
    FROM crewsnow_ops.evidence AS r
    WHERE r.criterion = c.name AND r.source = 'tests' AND (r.recorded_at < $3 OR NOT r.passed)
    ORDER BY r.sequence_number DESC LIMIT 1
) AS r ON true
LEFT JOIN LATERAL (
    SELECT w.* FROM crewsnow_ops.waivers AS w
    WHERE w.criterion = c.name AND w.revoked_at IS NULL AND (w.release IS NULL OR w.release = $2)
        AND w.requested_at < $3 AND coalesce(w.approved_at < $3, true)
    ORDER BY
        w.expires_at > pg_catalog.clock_timestamp()
        AND (w.approved_at IS NOT NULL OR NOT c.is_blocker) DESC,
        w.sequence_number DESC
    LIMIT 1
) AS w ON true
WHERE c.is_enabled AND c.gate IN ('go_no_go', $1)
ORDER BY c.gate, c.weight DESC, c.name
