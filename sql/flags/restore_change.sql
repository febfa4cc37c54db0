-- $1 flags to restore. A column that was added since keeps its value.
UPDATE @extschema@.feature_flags AS f
SET (@columns@) = ROW (@s.columns@)
FROM jsonb_to_recordset($1::jsonb) AS t (flag_id uuid, image jsonb)
JOIN @extschema@.feature_flags AS c ON c.id = t.flag_id
CROSS JOIN LATERAL jsonb_populate_record(c, t.image) AS s
WHERE t.image IS NOT NULL AND s.id = f.id
    AND ROW (@f.columns@) IS DISTINCT FROM ROW (@s.columns@)
RETURNING f.id, f.flag_key, f.is_enabled, f.rollout_percentage
