-- $1 as of
SELECT
    clock_timestamp() < $1 AS is_future,
    coalesce(e.earliest > $1, true) AS is_too_early,
    to_char($1, 'YYYY-MM-DD HH24:MI:SS.USOF') AS asked,
    to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS.USOF') AS now,
    to_char(e.earliest, 'YYYY-MM-DD HH24:MI:SS.USOF') AS earliest
FROM (
    SELECT least(
        (SELECT min(h.changed_at) FROM crewsnow_ops.flag_history AS h),
        (SELECT min(f.created_at) FROM @extschema@.feature_flags AS f)
    ) AS earliest
) AS e
