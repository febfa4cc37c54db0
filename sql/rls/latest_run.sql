-- The latest stored audit: unmet requirements, age in seconds, and its worst finding without an
-- acceptance.
SELECT r.unmet, extract(epoch FROM clock_timestamp() - r.ran_at)::bigint AS age,
    (
        SELECT f.severity || ' ' || f.finding
        FROM crewsnow_ops.rls_run_findings AS f
        CROSS JOIN (VALUES (ARRAY['CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'INFO'])) AS k (ranks)
        WHERE f.run = r.run AND f.severity IN ('CRITICAL', 'HIGH', 'MEDIUM')
            AND NOT EXISTS (
                SELECT
                FROM (
                    SELECT r.expires_at, r.severity FROM crewsnow_ops.rls_acceptances AS r
                        WHERE r.finding = f.finding ORDER BY r.accepted_at DESC LIMIT 1
                ) AS a
                WHERE a.expires_at > clock_timestamp()
                    AND array_position(k.ranks, a.severity) <= array_position(k.ranks, f.severity)
            )
        ORDER BY array_position(k.ranks, f.severity), f.finding
        LIMIT 1
    ) AS worst
FROM crewsnow_ops.rls_runs AS r
ORDER BY r.ran_at DESC
LIMIT 1
