-- $1 time. The people who have changed flags since.
SELECT coalesce(array_agg(DISTINCT p.name), '{}')
FROM crewsnow_ops.flag_history AS h
CROSS JOIN LATERAL (SELECT coalesce(h.updated_by, h.jwt_subject, h.session_user_name)) AS p (name)
WHERE h.changed_at > $1
