-- The state of replay on this standby: whether it is paused, whether it receives WAL, whether it
-- should, whether all known WAL is replayed, microseconds since the last replayed commit, and the
-- bytes of known WAL that are not replayed.
-- latest_end_lsn is the end of WAL that the primary has reported, before it arrives.
SELECT
    pg_is_wal_replay_paused(),
    w.pid IS NOT NULL,
    coalesce(
        (SELECT s.setting FROM pg_settings AS s WHERE s.name = 'primary_conninfo'), '(hidden)'
    ) <> '',
    coalesce(
        pg_last_wal_replay_lsn() >= greatest(pg_last_wal_receive_lsn(), w.latest_end_lsn), true
    ),
    (
        extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000000
    )::bigint,
    greatest(pg_wal_lsn_diff(
        greatest(pg_last_wal_receive_lsn(), w.latest_end_lsn), pg_last_wal_replay_lsn()
    ), 0)::bigint
FROM (SELECT) AS one LEFT JOIN pg_stat_wal_receiver AS w ON true
