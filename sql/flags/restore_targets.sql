-- $1 time, $2 keys, $3 person, $4 transaction: see crewsnow_ops.restore_targets.
-- Flags that others have changed since are left alone.
WITH targets AS MATERIALIZED (
    SELECT t.* FROM crewsnow_ops.restore_targets($1, $2, $3, $4) AS t
)
SELECT
    coalesce(jsonb_agg(jsonb_build_object('flag_id', t.flag_id, 'image', t.image))
        FILTER (WHERE t.later_by IS NULL), '[]')::text,
    coalesce(array_agg(t.flag_id ORDER BY t.flag_id) FILTER (WHERE t.later_by IS NULL), '{}'),
    ARRAY(SELECT k.key_now FROM targets AS k WHERE k.key_now IS NOT NULL
        UNION SELECT k.image ->> 'flag_key' FROM targets AS k WHERE k.image IS NOT NULL),
    coalesce(array_agg(format('%s: not restored, because it was changed since by %s',
        coalesce(t.key_now, t.image ->> 'flag_key'), t.later_by))
        FILTER (WHERE t.later_by IS NOT NULL), '{}')
FROM targets AS t
