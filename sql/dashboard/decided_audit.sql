-- The audit of row-level security by the latest decision: its age in seconds, its outcome, detail
-- and caveat. A decision of the future, by a clock that was ahead, does not count.
SELECT
    greatest(extract(epoch FROM clock_timestamp() - d.decided_at), 0)::bigint,
    m.measurement ->> 'outcome', m.measurement ->> 'detail', m.measurement ->> 'caveat'
FROM (
    SELECT d.decided_at, d.inputs FROM crewsnow_ops.decisions AS d
    WHERE d.decided_at < clock_timestamp() + interval '1 second'
    ORDER BY d.sequence_number DESC LIMIT 1
) AS d
CROSS JOIN LATERAL jsonb_path_query(
    d.inputs, '$.criteria[*].measurements[*] ? (@.measure == "rls")'
) AS m (measurement)
LIMIT 1
