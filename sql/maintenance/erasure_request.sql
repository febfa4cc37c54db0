-- $1 id: the request.
SELECT r.user_id, r.pseudonym FROM crewsnow_ops.erasure_requests AS r WHERE r.id = $1
