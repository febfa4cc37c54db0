-- Channel $1 after an answer: limiter $2, whether it was sent $3, pause in ms $4, whether the
-- receiver is gone $5, error $6
UPDATE crewsnow_ops.channel_states
SET limiter = $2,
    last_sent_at = CASE WHEN $3 THEN clock_timestamp() ELSE last_sent_at END,
    paused_until = CASE WHEN $4 IS NOT NULL
        THEN greatest(paused_until, clock_timestamp() + $4 * interval '1 millisecond')
        ELSE paused_until END,
    broken_since = CASE WHEN $5 THEN coalesce(broken_since, clock_timestamp())
        ELSE broken_since END,
    last_error = coalesce($6, last_error),
    last_error_at = CASE WHEN $6 IS NOT NULL THEN clock_timestamp() ELSE last_error_at END
WHERE channel = $1
