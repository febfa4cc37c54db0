-- The acceptances in force: the latest of each finding, unless it expired. One that was recorded
-- in the future, by a clock that was ahead, does not count.
SELECT a.finding, a.reason, to_char(a.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS until,
    a.accepted_by, a.severity::text
FROM (
    SELECT DISTINCT ON (r.finding) r.finding, r.reason, r.expires_at, r.accepted_by, r.severity
    FROM crewsnow_ops.rls_acceptances AS r
    WHERE r.accepted_at < clock_timestamp() + interval '1 second'
    ORDER BY r.finding, r.accepted_at DESC
) AS a
WHERE a.expires_at > clock_timestamp()
