-- Limits: held for 24 h (pganalyze) or 10 million transactions; critical 100 million (ours: a
-- twentieth and half of the default autovacuum_freeze_max_age). Vacuum cannot remove rows that were
-- deleted after the oldest holder began. A running vacuum does not count as a holder, however long
-- it takes.
WITH
holders AS (
    SELECT
        CASE WHEN s.backend_type = 'walsender' THEN 'standby feedback' ELSE 'session' END AS kind,
        format('pid %s', s.pid) AS name, age(s.backend_xmin) AS age, s.xact_start AS held_since,
        format('%s, user %s, application %s, database %s, state %s',
            coalesce(s.backend_type, 'session'), coalesce(s.usename::text, '(none)'),
            coalesce(nullif(s.application_name, ''), '(none)'), coalesce(s.datname::text, '(none)'),
            coalesce(s.state, '(none)')) AS evidence,
        CASE
            WHEN s.backend_type = 'walsender'
                THEN format('SELECT pid, application_name, client_addr, backend_xmin FROM '
                    'pg_stat_replication WHERE pid = %s;', s.pid)
            WHEN s.backend_type <> 'client backend'
                THEN format('SELECT * FROM pg_stat_activity WHERE pid = %s;', s.pid)
            WHEN pg_is_in_recovery() THEN format('SELECT pg_terminate_backend(%s);', s.pid)
            ELSE format('SELECT crewsnow_ops.terminate_session(%s, %L);', s.pid,
                to_char(s.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00')
        END AS next_command,
        CASE WHEN s.backend_type = 'walsender'
            THEN 'A query on the standby holds back vacuum here: end it there, or turn off '
                'hot_standby_feedback there.'
            ELSE 'Vacuum cannot remove rows deleted since: tables grow and queries slow down until '
                'this session ends its transaction.'
        END AS recommendation
    FROM pg_stat_activity AS s
    WHERE s.backend_xmin IS NOT NULL AND s.pid <> pg_backend_pid()
        AND NOT EXISTS (SELECT FROM pg_stat_get_progress_info('VACUUM') AS p WHERE p.pid = s.pid)
    UNION ALL
    SELECT 'prepared transaction', p.gid, age(p.transaction), p.prepared,
        format('prepared at %s by %s in %s', p.prepared, p.owner, p.database),
        CASE WHEN p.database = current_database() THEN ''
            ELSE format(E'\\connect %I\n', p.database) END
            || format('ROLLBACK PREPARED %L;', p.gid),
        'Vacuum cannot remove rows deleted since it was prepared: ask its coordinator for the '
        'outcome, then commit it or roll it back.'
    FROM pg_prepared_xacts AS p
    UNION ALL
    SELECT 'replication slot', r.slot_name, greatest(age(r.xmin), age(r.catalog_xmin)), NULL,
        format('%s slot, %s, %s', r.slot_type, CASE WHEN r.active THEN 'active' ELSE 'inactive' END,
            CASE WHEN age(r.xmin) IS NULL THEN 'holds the catalogs only'
                ELSE 'holds all tables' END),
        CASE WHEN r.active
            THEN format('SELECT * FROM pg_replication_slots WHERE slot_name = %L;', r.slot_name)
            ELSE format('SELECT pg_drop_replication_slot(%L);', r.slot_name)
        END,
        'Vacuum cannot remove rows that the consumer may still read: bring it back, or drop the '
        'slot if it is gone for good.'
    FROM pg_replication_slots AS r
    WHERE r.xmin IS NOT NULL OR r.catalog_xmin IS NOT NULL
),
ranked AS (
    SELECT h.*, row_number() OVER (ORDER BY h.age DESC) AS rank, count(*) OVER () AS total,
        CASE WHEN h.age >= 100000000 THEN 'CRITICAL'
            WHEN h.age >= 10000000 OR h.held_since < statement_timestamp() - interval '24 hours'
                THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM holders AS h
),
visibility AS (SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all)
SELECT
    r.status, CASE WHEN r.status <> 'OK' THEN r.kind || ' ' || r.name END AS object,
    format('%s transactions', r.age) AS current_value,
    '< 10000000 transactions, < 24 h' AS threshold,
    CASE WHEN r.status = 'OK' THEN format('oldest holder: %s %s; %s', r.kind, r.name, r.evidence)
        ELSE r.evidence END AS evidence,
    CASE WHEN r.status = 'OK' THEN 'Nothing to do.' ELSE r.recommendation END AS recommendation,
    CASE WHEN r.status <> 'OK' THEN r.next_command END AS next_command, 'now' AS since
FROM ranked AS r
CROSS JOIN visibility AS s
WHERE (r.status <> 'OK' AND r.rank <= 5) OR (r.rank = 1 AND s.sees_all)
UNION ALL
SELECT 'OK', NULL, '0 transactions', '< 10000000 transactions, < 24 h', 'no holder',
    'Nothing to do.', NULL, 'now'
FROM visibility AS s
WHERE s.sees_all AND NOT EXISTS (SELECT FROM ranked)
UNION ALL
SELECT 'SKIPPED', NULL, NULL, '< 10000000 transactions, < 24 h',
    'the snapshots of other users'' sessions are hidden from this role (slots and prepared '
    'transactions were checked)',
    'Grant pg_monitor to this role.', format('GRANT pg_monitor TO %I;', current_user), 'now'
FROM visibility AS s
WHERE NOT s.sees_all
