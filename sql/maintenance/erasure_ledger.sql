-- The executed erasures by salt: hashes of ids, and the erasures in the same order.
SELECT s.salt, array_agg(r.id_hash ORDER BY r.executed_at, r.id),
    array_agg(r.id::text ORDER BY r.executed_at, r.id)
FROM crewsnow_ops.erasure_requests AS r
JOIN crewsnow_ops.erasure_salts AS s ON s.id = r.salt_id
WHERE r.executed_at IS NOT NULL
GROUP BY s.id, s.salt
ORDER BY s.id
