-- $1 flag id, $2 row before, $3 row after, $4 current user, $5 updated by, $6 reason,
-- $7 subject of the JWT
-- The latest history row of a flag is its state. A row that equals it comes from a dump, together
-- with its history, and is not a change.
WITH last AS (
    SELECT h.after, h.changed_at
    FROM crewsnow_ops.flag_history AS h
    WHERE h.flag_id = $1
    ORDER BY h.changed_at DESC
    LIMIT 1
),
launch AS (
    SELECT to_jsonb(l.*) AS image FROM crewsnow_ops.launch_flags AS l WHERE l.id = $1
),
change AS (
    SELECT
        to_jsonb($2) AS before,
        to_jsonb($3) AS after,
        EXISTS (SELECT FROM last) AS is_known,
        -- Without history, a launch flag is as CREATE EXTENSION made it.
        CASE WHEN EXISTS (SELECT FROM last) THEN (SELECT l.after FROM last AS l)
            ELSE (SELECT l.image FROM launch AS l) END AS image,
        (SELECT l.changed_at + interval '1 microsecond' FROM last AS l) AS earliest
)
INSERT INTO crewsnow_ops.flag_history
    (flag_id, changed_at, flag_key, operation, before, after, session_user_name, current_user_name,
        updated_by, reason, application_name, client_addr, xid, jwt_subject)
SELECT
    $1,
    greatest(
        CASE
            -- The time of an UPDATE is updated_at, which the BEFORE trigger set. A replicated or
            -- dumped row has its time from another server; here it changes now.
            WHEN (c.after ->> 'updated_at')::timestamptz > (c.before ->> 'updated_at')::timestamptz
                AND current_setting('session_replication_role') <> 'replica'
            THEN least(clock_timestamp(), (c.after ->> 'updated_at')::timestamptz)
            ELSE clock_timestamp()
        END,
        c.earliest
    ),
    coalesce(c.after, c.before) ->> 'flag_key',
    CASE WHEN c.before IS NULL THEN 'INSERT' WHEN c.after IS NULL THEN 'DELETE' ELSE 'UPDATE' END,
    coalesce(c.before, c.image),
    c.after,
    session_user, $4, $5, $6, current_setting('application_name'), inet_client_addr(),
        pg_current_xact_id(), $7
FROM change AS c
WHERE CASE
    WHEN c.after IS NULL THEN
        -- Not a change: the history already has the removal, or the flag is an unchanged launch
        -- flag whose history came from a dump, which will bring the flag, too.
        NOT (c.is_known AND c.image IS NULL)
        AND NOT (
            c.is_known
            AND EXISTS (
                SELECT FROM launch AS l
                WHERE l.image -> 'created_at' = c.before -> 'created_at'
                    AND l.image -> 'created_at' = c.before -> 'updated_at'
            )
        )
    WHEN c.is_known THEN
        (c.image - '{updated_at,last_checked_at}'::text[]) IS DISTINCT
            FROM (c.after - '{updated_at,last_checked_at}'::text[])
    ELSE
        (c.image - '{created_at,created_by,updated_at,last_checked_at}'::text[])
        IS DISTINCT FROM (c.after - '{created_at,created_by,updated_at,last_checked_at}'::text[])
        -- An UPDATE of created_at or created_by alone is a change, unless a dump makes it.
        OR c.before IS NOT NULL
            AND (c.after ->> 'created_at')::timestamptz >= (c.before ->> 'created_at')::timestamptz
END
