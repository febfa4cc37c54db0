-- $1 flags to restore
DELETE FROM @extschema@.feature_flags AS f
USING jsonb_to_recordset($1::jsonb) AS t (flag_id uuid, image jsonb)
WHERE t.flag_id = f.id
    AND (t.image IS NULL OR t.image ->> 'rollout_group' IS DISTINCT FROM f.rollout_group)
RETURNING f.id, f.flag_key
