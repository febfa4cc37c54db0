-- Holders of the xmin horizon: rows deleted after the oldest of them began cannot be removed. A
-- writer holds it by its transaction id, even with no snapshot. Sessions and prepared transactions
-- hold back the tables of their own database, slots and standbys those of all. held_since is NULL
-- where the server does not record it. A running vacuum holds nothing back, however long it takes.
holders AS MATERIALIZED (
    SELECT
        CASE WHEN s.backend_type = 'walsender' THEN 'standby feedback' ELSE 'session' END AS kind,
        format('pid %s', s.pid) AS name, s.pid,
        greatest(age(s.backend_xmin), age(s.backend_xid)) AS age, s.xact_start AS held_since,
        CASE WHEN s.backend_type <> 'walsender' THEN s.datname END AS database,
        false AS only_catalogs, s.backend_xid AS transaction,
        format('%s, user %s, application %s, database %s, state %s%s',
            CASE WHEN k.kind = 'client' THEN s.backend_type ELSE coalesce(k.kind, 'session') END,
            coalesce(s.usename::text, '(none)'),
            coalesce(nullif(s.application_name, ''), '(none)'), coalesce(s.datname::text, '(none)'),
            coalesce(s.state, '(none)'), coalesce(', client ' || s.client_addr, '')) AS evidence,
        CASE WHEN s.backend_type = 'walsender'
            THEN format('SELECT pid, application_name, client_addr, backend_xmin FROM '
                'pg_stat_replication WHERE pid = %s;', s.pid)
            ELSE c.command
        END AS next_command,
        CASE
            WHEN s.backend_type = 'walsender'
                THEN 'A query on the standby holds it: end it there, or turn off '
                    'hot_standby_feedback there.'
            WHEN k.kind = 'backup' THEN 'It is a backup: let it finish.'
            WHEN k.kind = 'own session' THEN 'It is your own transaction: end it.'
            WHEN k.kind = 'hidden' THEN 'This role cannot see the session.'
            WHEN k.kind <> 'client' THEN 'It is a process of the server: wait for it.'
            WHEN s.state = 'active'
                THEN 'Cancel its statement, unless its work matters more.'
            ELSE 'End the session: its uncommitted work is lost.'
        END AS cure
    FROM pg_stat_activity AS s
@session_cut@
    WHERE (s.backend_xmin IS NOT NULL OR s.backend_xid IS NOT NULL) AND s.pid <> pg_backend_pid()
        AND NOT EXISTS (SELECT FROM pg_stat_get_progress_info('VACUUM') AS p WHERE p.pid = s.pid)
    UNION ALL
    SELECT 'prepared transaction', p.gid, NULL, age(p.transaction), p.prepared, p.database, false,
        p.transaction, format('prepared at %s by %s in %s', p.prepared, p.owner, p.database),
        CASE WHEN p.database = current_database() THEN ''
            ELSE format(E'\\connect %I\n', p.database) END
            || format('ROLLBACK PREPARED %L;', p.gid),
        format('Ask the coordinator of %s for the outcome: ROLLBACK PREPARED discards its work for '
            'good, COMMIT PREPARED %L keeps it.', p.owner, p.gid)
    FROM pg_prepared_xacts AS p
    UNION ALL
    SELECT 'replication slot', r.slot_name, r.active_pid,
        greatest(age(r.xmin), age(r.catalog_xmin)), NULL, NULL, r.xmin IS NULL, NULL,
        concat_ws(', ', r.slot_type || ' slot',
            CASE WHEN r.active THEN 'active' ELSE 'inactive' END,
            CASE WHEN r.xmin IS NULL THEN 'holds the catalogs only' ELSE 'holds all tables' END,
            'of ' || w.application_name, 'client ' || w.client_addr,
            'confirmed ' || r.confirmed_flush_lsn, 'restart ' || r.restart_lsn),
        CASE WHEN NOT r.active AND greatest(age(r.xmin), age(r.catalog_xmin)) >= 100000000
            THEN format('SELECT pg_drop_replication_slot(%L);', r.slot_name)
            ELSE format('SELECT * FROM pg_replication_slots WHERE slot_name = %L;', r.slot_name)
        END,
        CASE WHEN r.active AND r.slot_type = 'physical'
            THEN 'A query on the standby holds it: end it there, or turn off '
                'hot_standby_feedback there.'
            WHEN r.active
                THEN 'The consumer confirms too little, or an open transaction holds the slot: see '
                    'the check Replication Slots.'
            ELSE 'Bring the consumer back. Dropping the slot loses its position for good: the '
                'consumer must be rebuilt.'
        END
    FROM pg_replication_slots AS r
    LEFT JOIN pg_stat_replication AS w ON w.pid = r.active_pid
    WHERE r.xmin IS NOT NULL OR r.catalog_xmin IS NOT NULL
)
