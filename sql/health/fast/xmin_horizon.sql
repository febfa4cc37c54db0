-- Limits: held for 24 h (pganalyze) or 10 million transactions; critical 100 million (ours: a
-- twentieth and half of the default autovacuum_freeze_max_age). Vacuum cannot remove rows that were
-- deleted after the oldest holder began. A running vacuum does not count as a holder, however long
-- it takes.
WITH
@horizon_holders@,
ranked AS (
    SELECT h.*, row_number() OVER (ORDER BY h.age DESC) AS rank, count(*) OVER () AS total,
        CASE WHEN h.age >= @xmin_horizon.critical@ THEN 'CRITICAL'
            WHEN h.age >= @xmin_horizon.warning@
                OR h.held_since < statement_timestamp() - interval '@xmin_horizon.hours@ hours'
                THEN 'WARNING'
            ELSE 'OK'
        END AS status
    FROM holders AS h
),
visibility AS (SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all)
SELECT
    r.status, CASE WHEN r.status <> 'OK' THEN r.kind || ' ' || r.name END AS object,
    format('%s transactions', r.age) AS current_value,
    '< @xmin_horizon.warning@ transactions, < @xmin_horizon.hours@ h' AS threshold,
    CASE WHEN r.status = 'OK' THEN format('oldest holder: %s %s; %s', r.kind, r.name, r.evidence)
        ELSE r.evidence END AS evidence,
    CASE WHEN r.status = 'OK' THEN 'Nothing to do.'
        ELSE 'Vacuum cannot remove rows deleted since: tables grow and queries slow down. '
            || r.cure
    END AS recommendation,
    CASE WHEN r.status <> 'OK' THEN r.next_command END AS next_command, 'now' AS since
FROM ranked AS r
CROSS JOIN visibility AS s
WHERE (r.status <> 'OK' AND r.rank <= 5) OR (r.rank = 1 AND s.sees_all)
UNION ALL
SELECT 'OK', NULL, '0 transactions',
    '< @xmin_horizon.warning@ transactions, < @xmin_horizon.hours@ h', 'no holder',
    'Nothing to do.', NULL, 'now'
FROM visibility AS s
WHERE s.sees_all AND NOT EXISTS (SELECT FROM ranked)
UNION ALL
SELECT 'SKIPPED', NULL, NULL, '< @xmin_horizon.warning@ transactions, < @xmin_horizon.hours@ h',
    'the snapshots of other users'' sessions are hidden from this role (slots and prepared '
    'transactions were checked)',
    'Grant pg_monitor to this role.', format('GRANT pg_monitor TO %I;', current_user), 'now'
FROM visibility AS s
WHERE NOT s.sees_all
