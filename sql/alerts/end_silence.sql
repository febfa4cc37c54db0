-- $1 silence, $2 now. Returns whether it exists, and its matcher if this call has ended it
WITH ended AS (
    UPDATE crewsnow_ops.silences AS s
    SET ends_at = greatest(s.starts_at, $2), ended_by = session_user
    WHERE s.silence_id = $1 AND s.ends_at > $2
    RETURNING s.matcher
),
told AS (
    INSERT INTO crewsnow_ops.alert_events (at, event, actor, details)
    SELECT $2, 'silence_ended', session_user,
        jsonb_build_object('silence', $1, 'matcher', e.matcher)
    FROM ended AS e
)
SELECT EXISTS (SELECT FROM crewsnow_ops.silences AS s WHERE s.silence_id = $1),
    (SELECT e.matcher FROM ended AS e)
