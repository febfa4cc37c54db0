-- The kind of the session s, a row of pg_stat_activity. Only a client is safe to cut: a backup
-- would have to start again, and the server ends or restarts with its own processes.
CASE
    WHEN s.pid = pg_backend_pid() THEN 'own session'
    WHEN s.backend_type IS NULL THEN 'hidden'
    WHEN s.backend_type = 'autovacuum worker'
        THEN CASE WHEN s.query LIKE '%(to prevent wraparound)' THEN 'wraparound vacuum'
            ELSE 'autovacuum' END
    WHEN s.backend_type IN ('startup', 'walsender') THEN s.backend_type
    WHEN s.backend_type <> 'client backend' THEN 'background'
    WHEN s.application_name
            ~* '^(pg_dump|pg_dumpall|pg_basebackup|pgbackrest|barman|wal-g|pg_probackup)'
        OR s.query ~* 'pg_(start_backup|backup_start|export_snapshot)\s*\('
        OR s.query ~ '^LOCK TABLE .+ IN ACCESS SHARE MODE( NOWAIT)?;?$'
        OR (s.state = 'active' AND s.query ~ '^COPY .+ TO stdout;?$')
        THEN 'backup'
    ELSE 'client'
END
