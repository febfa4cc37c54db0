-- $1 time to restore. A flag whose key belonged to another flag first gives it up, so that two
-- flags can swap keys.
UPDATE @extschema@.feature_flags AS f
SET flag_key = f.id::text
FROM crewsnow_ops.flag_state_at($1) AS s
WHERE s.flag_key = f.flag_key AND s.id <> f.id
