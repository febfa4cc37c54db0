-- $1 id, $2 type, $3 user, $4 payload, $5 execution time, $6 function
INSERT INTO @extschema@.event_log (id, event_type, user_id, payload, execution_time_ms, function_name) VALUES ($1, $2, $3, $4, $5, $6)
