-- $1 id, $2 function, $3 execution time, $4 status code, $5 user, $6 endpoint, $7 address, $8 user agent, $9 payload
INSERT INTO @extschema@.event_log
    (id, event_type, function_name, execution_time_ms, user_id, endpoint, ip_address, user_agent, payload)
VALUES ($1, 'edge_function_call', $2, $3, $5, $6, $7, $8, coalesce($9, '{}') || jsonb_build_object('status_code', $4))
