-- $1 id, $2 type, $3 user, $4 payload, $5 execution time, $6 function, $7 endpoint, $8 address,
-- $9 user agent
INSERT INTO @extschema@.event_log
    (id, event_type, user_id, payload, execution_time_ms, function_name, endpoint, ip_address,
        user_agent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
