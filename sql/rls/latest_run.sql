-- The latest stored audit: unmet requirements, age in seconds, its worst finding without an
-- acceptance, and whether it has a verdict. An audit of the future, by a clock that was ahead, does
-- not count. $1 rules that the acceptance of a table covers.
SELECT r.unmet, greatest(extract(epoch FROM clock_timestamp() - r.ran_at), 0)::bigint AS age,
    (
        SELECT f.severity || ' ' || f.finding
        FROM crewsnow_ops.rls_run_findings AS f
        WHERE f.run = r.run AND f.severity <= 'MEDIUM'
            AND NOT EXISTS (
                SELECT
                FROM (
                    SELECT DISTINCT ON (r.finding) r.finding, r.expires_at, r.severity
                    FROM crewsnow_ops.rls_acceptances AS r
                    WHERE r.finding = f.finding
                        OR r.finding LIKE 'table %' AND split_part(f.finding, ' ', 1) = ANY ($1)
                        AND (
                            f.finding = split_part(f.finding, ' ', 1) || ' ' || r.finding
                                OR right(f.finding, length(r.finding) - 2)
                                    = ' on ' || substr(r.finding, 7))
                    ORDER BY r.finding, r.accepted_at DESC
                ) AS a
                WHERE a.expires_at > clock_timestamp() AND a.severity <= f.severity
            )
        ORDER BY f.severity, f.finding
        LIMIT 1
    ) AS worst,
    EXISTS (SELECT FROM crewsnow_ops.rls_run_verdicts AS v WHERE v.run = r.run) AS has_verdicts
FROM crewsnow_ops.rls_runs AS r
WHERE r.ran_at < clock_timestamp() + interval '1 second'
ORDER BY r.ran_at DESC
LIMIT 1
