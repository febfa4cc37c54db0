-- $1 time to restore
DELETE FROM @extschema@.feature_flags AS f
WHERE NOT EXISTS (
    SELECT FROM crewsnow_ops.flag_state_at($1) AS s WHERE s.id = f.id
        AND s.rollout_group = f.rollout_group
)
RETURNING f.id, f.flag_key
