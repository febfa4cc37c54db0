-- The silences in effect at $1
SELECT s.silence_id, s.matcher
FROM crewsnow_ops.silences AS s
WHERE s.starts_at <= $1 AND s.ends_at > $1
ORDER BY s.silence_id
