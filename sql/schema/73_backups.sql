-- Backups that other programs make, and the tests that restored them.
CREATE TABLE @extschema@.backup_log (
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    backup_type text NOT NULL DEFAULT 'manual' CONSTRAINT backup_log_backup_type_check CHECK (
        backup_type OPERATOR(pg_catalog.=) ANY (
            ARRAY['daily', 'weekly', 'pre_deployment', 'manual'])),
    backup_status text NOT NULL DEFAULT 'initiated' CONSTRAINT backup_log_backup_status_check
        CHECK (backup_status OPERATOR(pg_catalog.=) ANY (
            ARRAY['initiated', 'completed', 'failed'])),
    backup_size_bytes bigint CONSTRAINT backup_log_backup_size_bytes_check CHECK (
        backup_size_bytes OPERATOR(pg_catalog.>=) 0),
    backup_location text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    completed_at timestamptz,
    error_message text,
    CONSTRAINT backup_log_pkey PRIMARY KEY (id),
    CONSTRAINT backup_log_completed_at_check CHECK (
        completed_at OPERATOR(pg_catalog.>=) created_at)
) USING heap;
COMMENT ON TABLE @extschema@.backup_log IS
    'Backups of this database. The script that makes a backup inserts a row when it begins and '
    'updates it at the end, or calls crewsnow_ops.record_backup once. '
    'test_backup_restore_procedure restores the newest completed one.';
COMMENT ON COLUMN @extschema@.backup_log.id IS 'The backup.';
COMMENT ON COLUMN @extschema@.backup_log.backup_type IS
    'daily, weekly, pre_deployment or manual.';
COMMENT ON COLUMN @extschema@.backup_log.backup_status IS 'initiated, completed or failed.';
COMMENT ON COLUMN @extschema@.backup_log.backup_size_bytes IS
    'Size of the backup in bytes; NULL if unknown.';
COMMENT ON COLUMN @extschema@.backup_log.backup_location IS
    'Absolute path of the file or directory, as the server sees it; NULL or any other text if the '
    'server cannot reach it.';
COMMENT ON COLUMN @extschema@.backup_log.created_at IS
    'Begin of the backup: its content is as of this time.';
COMMENT ON COLUMN @extschema@.backup_log.completed_at IS 'End of the backup; NULL before it.';
COMMENT ON COLUMN @extschema@.backup_log.error_message IS 'Why it failed; NULL otherwise.';
COMMENT ON CONSTRAINT backup_log_pkey ON @extschema@.backup_log IS 'One row per backup.';
COMMENT ON CONSTRAINT backup_log_backup_type_check ON @extschema@.backup_log IS
    'daily, weekly, pre_deployment or manual.';
COMMENT ON CONSTRAINT backup_log_backup_status_check ON @extschema@.backup_log IS
    'initiated, completed or failed.';
COMMENT ON CONSTRAINT backup_log_backup_size_bytes_check ON @extschema@.backup_log IS
    'A size is not negative.';
COMMENT ON CONSTRAINT backup_log_completed_at_check ON @extschema@.backup_log IS
    'A backup ends after it begins.';

CREATE TABLE crewsnow_ops.backup_manifests (
    backup_id uuid NOT NULL,
    taken_at timestamptz NOT NULL,
    is_exact boolean NOT NULL,
    items jsonb NOT NULL,
    CONSTRAINT backup_manifests_pkey PRIMARY KEY (backup_id)
) USING heap;
COMMENT ON TABLE crewsnow_ops.backup_manifests IS
    'Content of this database at the time of a backup: definitions of objects, and the number of '
    'rows and a hash for each table. A restore test compares the restored database with it.';
COMMENT ON COLUMN crewsnow_ops.backup_manifests.backup_id IS
    'The backup in backup_log; no foreign key, so that a dump may restore in any order.';
COMMENT ON COLUMN crewsnow_ops.backup_manifests.taken_at IS
    'Time of the snapshot that it describes.';
COMMENT ON COLUMN crewsnow_ops.backup_manifests.is_exact IS
    'Whether the backup has the same snapshot, so that any difference is a fault.';
COMMENT ON COLUMN crewsnow_ops.backup_manifests.items IS
    'Array of objects with kind, name, and definition, or rows and hash.';
COMMENT ON CONSTRAINT backup_manifests_pkey ON crewsnow_ops.backup_manifests IS
    'One manifest per backup.';

-- No row is seeded: a dump brings its own.
CREATE TABLE crewsnow_ops.heartbeat (
    only_row boolean NOT NULL DEFAULT true CONSTRAINT heartbeat_only_row_check CHECK (only_row),
    beat_at timestamptz NOT NULL,
    CONSTRAINT heartbeat_pkey PRIMARY KEY (only_row)
) USING heap;
COMMENT ON TABLE crewsnow_ops.heartbeat IS
    'The latest time at which this database was seen alive. In a restored database its age is the '
    'time of which everything is lost.';
COMMENT ON COLUMN crewsnow_ops.heartbeat.only_row IS 'True.';
COMMENT ON COLUMN crewsnow_ops.heartbeat.beat_at IS
    'Clock time of the latest crewsnow_ops.sample_health or crewsnow_ops.record_backup.';
COMMENT ON CONSTRAINT heartbeat_pkey ON crewsnow_ops.heartbeat IS 'At most one row.';
COMMENT ON CONSTRAINT heartbeat_only_row_check ON crewsnow_ops.heartbeat IS 'At most one row.';

CREATE TABLE crewsnow_ops.restore_tests (
    id uuid NOT NULL,
    backup_id uuid,
    location text,
    kind text NOT NULL,
    verdict text NOT NULL CONSTRAINT restore_tests_verdict_check CHECK (
        verdict OPERATOR(pg_catalog.=) ANY (ARRAY['VALIDATED', 'ISSUES DETECTED'])),
    level integer CONSTRAINT restore_tests_level_check CHECK (
        level OPERATOR(pg_catalog.>=) 0 AND level OPERATOR(pg_catalog.<=) 5),
    faults jsonb NOT NULL DEFAULT '[]',
    skipped jsonb NOT NULL DEFAULT '[]',
    backup_bytes bigint,
    restored_bytes bigint,
    rto_seconds numeric,
    rpo_seconds numeric,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    run_by text NOT NULL,
    CONSTRAINT restore_tests_pkey PRIMARY KEY (id)
) USING heap;
COMMENT ON TABLE crewsnow_ops.restore_tests IS
    'Restored backups and their faults, a row for each call of test_backup_restore_procedure that '
    'ended with a report. Evidence of the criterion restore-test points to it.';
COMMENT ON COLUMN crewsnow_ops.restore_tests.id IS 'The test.';
COMMENT ON COLUMN crewsnow_ops.restore_tests.backup_id IS
    'The backup in backup_log; NULL if it is not listed there.';
COMMENT ON COLUMN crewsnow_ops.restore_tests.location IS
    'Path of the backup; NULL for a dump that the test made.';
COMMENT ON COLUMN crewsnow_ops.restore_tests.kind IS
    'fresh dump, custom dump, directory dump, tar dump, plain dump, base backup or unknown.';
COMMENT ON COLUMN crewsnow_ops.restore_tests.verdict IS
    'VALIDATED: the backup was restored, no fault was found, and its content is equal. Checksums '
    'of pg_verifybackup stand for parts that changed during a base backup. Else ISSUES DETECTED.';
COMMENT ON COLUMN crewsnow_ops.restore_tests.level IS
    'Highest level without a fault up to it: 0 fresh, 1 readable, 2 restores, 3 complete, 4 '
    'content equal, 5 usable. NULL if not even 0.';
COMMENT ON COLUMN crewsnow_ops.restore_tests.faults IS
    'Array of objects with level, object and text; no values of rows.';
COMMENT ON COLUMN crewsnow_ops.restore_tests.skipped IS
    'Array of objects with level, object and text: parts that were not tested, with the reason.';
COMMENT ON COLUMN crewsnow_ops.restore_tests.backup_bytes IS 'Size of the backup in bytes.';
COMMENT ON COLUMN crewsnow_ops.restore_tests.restored_bytes IS
    'Size of the restored database in bytes; NULL if it was not restored.';
COMMENT ON COLUMN crewsnow_ops.restore_tests.rto_seconds IS
    'Seconds from the start of the restore until the database could be used; NULL if it never '
    'could.';
COMMENT ON COLUMN crewsnow_ops.restore_tests.rpo_seconds IS
    'Seconds from the heartbeat in the restored database to the start of the test; NULL without '
    'one.';
COMMENT ON COLUMN crewsnow_ops.restore_tests.started_at IS 'Begin of the test (clock time).';
COMMENT ON COLUMN crewsnow_ops.restore_tests.ended_at IS 'End of the test (clock time).';
COMMENT ON COLUMN crewsnow_ops.restore_tests.run_by IS 'session_user of the call.';
COMMENT ON CONSTRAINT restore_tests_pkey ON crewsnow_ops.restore_tests IS 'One row per test.';
COMMENT ON CONSTRAINT restore_tests_verdict_check ON crewsnow_ops.restore_tests IS
    'VALIDATED or ISSUES DETECTED.';
COMMENT ON CONSTRAINT restore_tests_level_check ON crewsnow_ops.restore_tests IS
    'Levels are 0 to 5.';
CREATE INDEX restore_tests_started_at ON crewsnow_ops.restore_tests (started_at);
COMMENT ON INDEX crewsnow_ops.restore_tests_started_at IS 'The latest tests.';

SELECT pg_catalog.pg_extension_config_dump('@extschema@.backup_log', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.backup_manifests', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.heartbeat', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.restore_tests', '');

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', '@extschema@.backup_log'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.heartbeat'),
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.restore_tests'),
    ('operator', 'INSERT, UPDATE', 'TABLE', '@extschema@.backup_log');
