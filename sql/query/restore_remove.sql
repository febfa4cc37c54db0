-- $1 as of. A flag that had another key or group then is removed here and added again: so keys can be swapped.
DELETE FROM @extschema@.feature_flags AS f
WHERE NOT EXISTS (
    SELECT FROM crewsnow_ops.flag_state_at($1) AS s
    WHERE s.id = f.id AND s.flag_key = f.flag_key AND s.rollout_group = f.rollout_group
)
RETURNING f.flag_key
