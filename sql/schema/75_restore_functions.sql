COMMENT ON FUNCTION @extschema@.test_backup_restore_procedure(text) IS
    'Restores a backup beside this database, compares it, and returns a report, worst first. '
    'Takes the backup at p_backup, else the newest completed one of backup_log that this server '
    'can reach, else a fresh dump. The last line is ''Backup/restore procedure: VALIDATED'' or '
    '''Backup/restore procedure: ISSUES DETECTED''. Each test is a row of '
    'crewsnow_ops.restore_tests and evidence for the criterion restore-test. Everything that it '
    'made is removed. Only for superusers and members of pg_execute_server_program. Errors: 22023 '
    'for a path that is not absolute, 25001 in a transaction block, 25006 on a standby, 42501, '
    '53000 without a free worker slot, 53100 without room, 54000 above '
    'crewsnow_ops.restore_max_size, 55006 while another session tests, 58P01 for a missing file '
    'or program. See docs/restore.md.';
COMMENT ON FUNCTION crewsnow_ops.await_restore_test(text) IS
    'For the worker that cleans up behind a restore test: waits until none runs on this database, '
    'and then removes the directory of a test. Error: 42501.';
COMMENT ON FUNCTION crewsnow_ops.record_backup(text, text, bigint, timestamptz) IS
    'Records a completed backup in backup_log and returns its id. Its manifest keeps the content '
    'of this database: the definition of each object, and the number of rows and a hash of each '
    'table. So it reads all tables that the caller may read. In a REPEATABLE READ transaction '
    'whose snapshot pg_dump shares, any difference found in a restore is a fault. Otherwise call '
    'it when the backup begins: a table that changed since is not compared. Also moves the '
    'heartbeat. p_type is daily, weekly, pre_deployment or manual; p_started_at is the begin of '
    'the backup, by default now. Errors: 22004, 22023, 25006 on a standby or in a read-only '
    'transaction. See docs/restore.md.';
REVOKE ALL ON FUNCTION
    crewsnow_ops.record_backup(text, text, bigint, timestamptz),
    @extschema@.test_backup_restore_procedure(text),
    crewsnow_ops.await_restore_test(text)
FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('admin', 'EXECUTE', 'FUNCTION',
        'crewsnow_ops.record_backup(text, text, bigint, timestamptz)'),
    ('admin', 'EXECUTE', 'FUNCTION', '@extschema@.test_backup_restore_procedure(text)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.await_restore_test(text)');
