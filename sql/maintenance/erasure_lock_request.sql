-- $1 id: the request.
SELECT r.id::text FROM crewsnow_ops.erasure_requests AS r WHERE r.id = $1 FOR UPDATE
