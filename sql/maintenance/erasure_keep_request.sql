-- $1 id, $2 id of the person, $3 reason, $4 system identifier, $5 database, $6 replayed erasure.
-- The own salt is made with the first request, so that a dump restores into a fresh installation.
WITH own AS (
    SELECT s.id FROM crewsnow_ops.erasure_salts AS s ORDER BY s.created_at LIMIT 1
),
made AS (
    INSERT INTO crewsnow_ops.erasure_salts (id, salt, created_at, system_identifier, database)
    SELECT gen_random_uuid(),
        sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
            || uuid_send(gen_random_uuid())),
        clock_timestamp(), $4, $5
    WHERE NOT EXISTS (SELECT FROM own)
    RETURNING id
)
INSERT INTO crewsnow_ops.erasure_requests
    (id, user_id, reason, requested_at, requested_by, due_at, pseudonym, salt_id, replays)
SELECT $1, $2, $3, t.now, session_user, t.now + interval '30 days',
    'erased-' || left($1::text, 8), s.id, $6
FROM (SELECT id FROM own UNION ALL SELECT id FROM made) AS s
CROSS JOIN (SELECT clock_timestamp() AS now) AS t
