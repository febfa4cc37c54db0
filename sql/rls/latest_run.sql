-- The last kept audit: how many requirements were not met, how many seconds ago that was, and the worst of its findings that nobody has accepted.
SELECT r.unmet, extract(epoch FROM clock_timestamp() - r.ran_at)::bigint AS age,
    (
        SELECT f.severity || ' ' || f.finding
        FROM crewsnow_ops.rls_run_findings AS f
        WHERE f.run = r.run AND f.severity IN ('CRITICAL', 'HIGH', 'MEDIUM')
            AND NOT EXISTS (SELECT FROM crewsnow_ops.rls_acceptances AS a WHERE a.finding = f.finding AND a.expires_at > clock_timestamp())
        ORDER BY array_position(ARRAY['CRITICAL', 'HIGH', 'MEDIUM'], f.severity), f.finding
        LIMIT 1
    ) AS worst
FROM crewsnow_ops.rls_runs AS r
ORDER BY r.ran_at DESC
LIMIT 1
