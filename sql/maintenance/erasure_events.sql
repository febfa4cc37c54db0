-- $1 pattern, $2 pseudonym, $3 id of the person, NULL if it is no uuid. Events of the person lose
-- all values that no count needs.
UPDATE @extschema@.event_log AS e
SET user_id = nullif(e.user_id, $3),
    ip_address = CASE WHEN e.user_id = $3 THEN NULL ELSE e.ip_address END,
    user_agent = CASE WHEN e.user_id = $3 THEN NULL
        ELSE regexp_replace(e.user_agent, $1, $2, 'gi') END,
    endpoint = regexp_replace(e.endpoint, $1, $2, 'gi'),
    payload = CASE
        WHEN e.user_id IS DISTINCT FROM $3 OR $3 IS NULL
        THEN regexp_replace(e.payload::text, $1, $2, 'gi')::jsonb
        WHEN e.payload ? 'status_code'
        THEN jsonb_build_object('status_code', e.payload -> 'status_code')
        WHEN e.payload IS NOT NULL THEN '{}'
    END
WHERE e.user_id = $3 OR e.user_agent ~* $1 OR e.endpoint ~* $1 OR e.payload::text ~* $1
