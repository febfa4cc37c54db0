-- $1 start of the hour, $2 row limit below which names need not be told apart, $3 limit of names.
-- The stored function names of an hour; none if there are so few rows that no limit is near.
SELECT DISTINCT r.function_name
FROM crewsnow_ops.event_rollups AS r
WHERE r.minute >= $1 AND r.minute < $1 + interval '1 hour' AND r.function_name <> '(other)'
    AND $2 < (
        SELECT count(*) FROM (
            SELECT FROM crewsnow_ops.event_rollups AS e
            WHERE e.minute >= $1 AND e.minute < $1 + interval '1 hour'
            LIMIT $3 + 1
        ) AS counted
    )
LIMIT $3
