-- $1 as of. Whoever holds a key that belongs to another flag lets go of it first, so that keys can be swapped.
UPDATE @extschema@.feature_flags AS f
SET flag_key = f.id::text
FROM crewsnow_ops.flag_state_at($1) AS s
WHERE s.flag_key = f.flag_key AND s.id <> f.id
