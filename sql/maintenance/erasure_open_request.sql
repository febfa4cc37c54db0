-- $1 id of the person
SELECT r.id::text FROM crewsnow_ops.erasure_requests AS r WHERE r.user_id = $1
