-- $1 flags to restore. A flag whose key belonged to another flag first gives it up, so that two
-- flags can swap keys.
UPDATE @extschema@.feature_flags AS f
SET flag_key = f.id::text
FROM jsonb_to_recordset($1::jsonb) AS t (flag_id uuid, image jsonb)
WHERE lower(t.image ->> 'flag_key') = lower(f.flag_key) AND t.flag_id <> f.id
    AND f.id IN (SELECT r.flag_id FROM jsonb_to_recordset($1::jsonb) AS r (flag_id uuid))
