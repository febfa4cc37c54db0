-- $1 pattern, $2 id of the person, NULL if it is no uuid
SELECT count(*) FROM @extschema@.event_log AS e
WHERE e.user_id = $2 OR e.user_agent ~* $1 OR e.endpoint ~* $1 OR e.payload::text ~* $1
