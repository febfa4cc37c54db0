-- $1 flag id, $2 row before, $3 row after, $4 current user, $5 updated by, $6 reason
-- A row that only says what the trail says already is not a change: it comes from a dump, beside its own history.
WITH last AS (
    SELECT h.after, h.changed_at
    FROM crewsnow_ops.flag_history AS h
    WHERE h.flag_id = $1
    ORDER BY h.changed_at DESC
    LIMIT 1
),
known AS (
    SELECT
        CASE
            WHEN EXISTS (SELECT FROM last) THEN (SELECT l.after FROM last AS l)
            ELSE (SELECT to_jsonb(f.*) FROM crewsnow_ops.launch_flags AS f WHERE f.id = $1)
        END AS image,
        EXISTS (SELECT FROM last AS l WHERE l.after IS NULL) AS is_removed,
        (SELECT l.changed_at + interval '1 microsecond' FROM last AS l) AS earliest
),
change AS (
    SELECT to_jsonb($2) AS before, to_jsonb($3) AS after
)
INSERT INTO crewsnow_ops.flag_history
    (flag_id, changed_at, flag_key, operation, before, after, session_user_name, current_user_name, updated_by, reason,
     application_name, client_addr, xid)
SELECT
    $1,
    -- An UPDATE happened at the row's updated_at, which the trigger before it set.
    greatest(
        CASE
            WHEN c.before IS NOT NULL AND c.after IS NOT NULL
            THEN least(clock_timestamp(), (c.after ->> 'updated_at')::timestamptz)
            ELSE clock_timestamp()
        END,
        k.earliest
    ),
    coalesce(c.after, c.before) ->> 'flag_key',
    CASE WHEN c.before IS NULL THEN 'INSERT' WHEN c.after IS NULL THEN 'DELETE' ELSE 'UPDATE' END,
    coalesce(c.before, k.image),
    c.after,
    session_user, $4, $5, $6, current_setting('application_name'), inet_client_addr(), pg_current_xact_id()
FROM change AS c
CROSS JOIN known AS k
WHERE CASE
    WHEN c.after IS NULL THEN NOT k.is_removed
    WHEN c.before IS NULL THEN
        (k.image - '{created_at,created_by,updated_at,last_checked_at}'::text[])
        IS DISTINCT FROM (c.after - '{created_at,created_by,updated_at,last_checked_at}'::text[])
    ELSE true
END
