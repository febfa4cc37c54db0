-- The decision $1, or the latest one if $1 is NULL.
SELECT d.id::text, d.inputs FROM crewsnow_ops.decisions AS d
WHERE d.id = $1 OR $1 IS NULL
ORDER BY d.sequence_number DESC LIMIT 1
