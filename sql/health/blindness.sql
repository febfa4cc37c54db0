-- Settings that keep the server from counting or showing what checks read: sessions whose activity
-- is hidden, whether this session's default hides it, whether tables and databases are counted, and
-- whether statements are. Without query ids pg_stat_statements counts nothing. track_activities
-- shows as the state "disabled".
SELECT
    (
        SELECT count(*) FROM pg_stat_activity AS s
        WHERE s.backend_type = 'client backend' AND s.state = 'disabled'
            AND s.pid <> pg_backend_pid()
    ),
    (
        SELECT count(*) FROM pg_stat_activity AS s
        WHERE s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
    ),
    coalesce(bool_or(s.reset_val = 'off') FILTER (WHERE s.name = 'track_activities'), false),
    coalesce(bool_or(s.reset_val = 'off') FILTER (WHERE s.name = 'track_counts'), false),
    coalesce(
        bool_or(s.reset_val = 'none') FILTER (WHERE s.name = 'pg_stat_statements.track'), false
    ),
    (
        SELECT string_agg(
            coalesce('role ' || r.rolname, 'database ' || d.datname), ', '
            ORDER BY r.rolname, d.datname
        )
        FROM pg_db_role_setting AS c
        LEFT JOIN pg_roles AS r ON r.oid = c.setrole
        LEFT JOIN pg_database AS d ON d.oid = c.setdatabase
        WHERE EXISTS (
            SELECT FROM unnest(c.setconfig) AS o (setting)
            WHERE lower(o.setting) = 'pg_stat_statements.track=none'
        )
            AND (c.setdatabase = 0 OR d.datname = current_database())
            -- The statements of a monitoring agent are not the application's.
            AND (c.setrole = 0 OR NOT pg_has_role(r.oid, 'pg_read_all_stats', 'MEMBER'))
    ),
    coalesce(
        bool_or(s.reset_val = 'off') FILTER (WHERE s.name = 'compute_query_id')
            AND bool_or(s.name = 'pg_stat_statements.max'), false
    )
FROM pg_settings AS s
