-- $1 id of a user, $2 current user, $3 reason. The record has no id. Columns of free text are not
-- rewritten; the second number counts the rows in which one still holds the id.
WITH
blanked AS (
    UPDATE crewsnow_ops.flag_history AS h
    SET before = CASE WHEN h.before -> 'target_user_ids' ? $1::text
            THEN jsonb_set(h.before, '{target_user_ids}',
                (h.before -> 'target_user_ids') - $1::text) ELSE h.before END,
        after = CASE WHEN h.after -> 'target_user_ids' ? $1::text
            THEN jsonb_set(h.after, '{target_user_ids}',
                (h.after -> 'target_user_ids') - $1::text) ELSE h.after END,
        jwt_subject = nullif(h.jwt_subject, $1::text),
        updated_by = nullif(h.updated_by, $1::text)
    WHERE h.before -> 'target_user_ids' ? $1::text OR h.after -> 'target_user_ids' ? $1::text
        OR h.jwt_subject = $1::text OR h.updated_by = $1::text
    RETURNING h.before, h.after, h.reason
),
counted AS (
    INSERT INTO crewsnow_ops.flag_history_erasures
        (session_user_name, current_user_name, reason, history_rows)
    SELECT session_user, $2, $3, (SELECT count(*) FROM blanked)
    RETURNING history_rows
)
SELECT c.history_rows,
    (SELECT count(*) FROM crewsnow_ops.flag_history AS h
        WHERE strpos(concat(h.before - 'target_user_ids', h.after - 'target_user_ids', h.reason,
            h.application_name), $1::text) > 0)
FROM counted AS c
