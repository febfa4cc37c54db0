-- $1 flags to restore. Whole rows: a column that is added later is restored, too.
INSERT INTO @extschema@.feature_flags AS f
SELECT n.*
FROM jsonb_to_recordset($1::jsonb) AS t (flag_id uuid, image jsonb)
CROSS JOIN LATERAL jsonb_populate_record(NULL::@extschema@.feature_flags,
    t.image || jsonb_build_object('updated_at', clock_timestamp())) AS n
WHERE t.image IS NOT NULL
    AND NOT EXISTS (SELECT FROM @extschema@.feature_flags AS e WHERE e.id = t.flag_id)
RETURNING f.id, f.flag_key, f.is_enabled, f.rollout_percentage
