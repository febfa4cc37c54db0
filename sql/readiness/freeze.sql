-- The freezes in effect as text (NULL if there is none), and the start of the next one.
SELECT
    (
        SELECT string_agg(
            format(
                'frozen until %s by %s: %s',
                to_char(f.ends_at, 'YYYY-MM-DD HH24:MI TZ'), f.created_by, f.reason
            ),
            '; ' ORDER BY f.ends_at DESC
        )
        FROM crewsnow_ops.freezes AS f
        WHERE clock_timestamp() >= f.starts_at AND clock_timestamp() < f.ends_at
    ),
    (
        SELECT min(f.starts_at) FROM crewsnow_ops.freezes AS f
        WHERE f.starts_at > clock_timestamp() AND f.ends_at > f.starts_at
    )
