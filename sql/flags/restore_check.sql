-- $1 time to restore
SELECT
    clock_timestamp() < $1 AS is_future,
    NOT EXISTS (SELECT FROM crewsnow_ops.flag_state_at($1))
        AND NOT EXISTS (SELECT FROM crewsnow_ops.flag_history AS h
            WHERE h.changed_at <= $1) AS is_too_early,
    $1::text AS asked,
    clock_timestamp()::text AS now,
    least(
        (SELECT min(h.changed_at) FROM crewsnow_ops.flag_history AS h),
        (SELECT min((h.before ->> 'created_at')::timestamptz) FROM crewsnow_ops.flag_history AS h),
        (SELECT min(f.created_at) FROM @extschema@.feature_flags AS f)
    )::text AS earliest
