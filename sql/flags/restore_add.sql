-- $1 time to restore. Whole rows: a column that is added later is restored, too.
INSERT INTO @extschema@.feature_flags AS f
SELECT n.*
FROM crewsnow_ops.flag_state_at($1) AS s
CROSS JOIN LATERAL
    jsonb_populate_record(s, jsonb_build_object('updated_at', clock_timestamp())) AS n
WHERE NOT EXISTS (SELECT FROM @extschema@.feature_flags AS e WHERE e.id = s.id)
RETURNING f.id, f.flag_key, f.is_enabled, f.rollout_percentage
