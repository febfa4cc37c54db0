-- Retention: how long rows of the application are kept, and the runs that apply it.
CREATE TABLE crewsnow_ops.retention_policies (
    name text NOT NULL,
    target text NOT NULL,
    time_column text NOT NULL,
    keep interval NOT NULL,
    action text NOT NULL,
    replacements jsonb,
    hold text,
    cascades_to text[] NOT NULL DEFAULT '{}',
    legal_basis text NOT NULL,
    batch_rows integer NOT NULL DEFAULT 5000,
    max_rows bigint,
    is_enabled boolean NOT NULL DEFAULT true,
    defined_by text NOT NULL DEFAULT current_user,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT retention_policies_pkey PRIMARY KEY (name),
    CONSTRAINT retention_policies_name_check CHECK (
        pg_catalog.length(name) OPERATOR(pg_catalog.>) 0
        AND pg_catalog.length(name) OPERATOR(pg_catalog.<=) 100
        AND name OPERATOR(pg_catalog.!~) '[[:cntrl:]]'
        AND NOT pg_catalog.starts_with(name, 'built-in')
    ),
    CONSTRAINT retention_policies_keep_check CHECK (
        keep OPERATOR(pg_catalog.>=) '1 day'::interval
        AND keep OPERATOR(pg_catalog.<=) '1000 years'::interval
    ),
    CONSTRAINT retention_policies_action_check CHECK (
        action OPERATOR(pg_catalog.=) ANY (ARRAY['delete', 'anonymise', 'drop partition'])
    ),
    CONSTRAINT retention_policies_replacements_check CHECK (
        (replacements IS NOT NULL) OPERATOR(pg_catalog.=)
            (action OPERATOR(pg_catalog.=) 'anonymise')
    ),
    CONSTRAINT retention_policies_legal_basis_check CHECK (
        pg_catalog.length(pg_catalog.btrim(legal_basis)) OPERATOR(pg_catalog.>) 0
    ),
    CONSTRAINT retention_policies_batch_rows_check CHECK (
        batch_rows OPERATOR(pg_catalog.>=) 1 AND batch_rows OPERATOR(pg_catalog.<=) 100000
    ),
    CONSTRAINT retention_policies_max_rows_check CHECK (max_rows OPERATOR(pg_catalog.>) 0)
) USING heap;
COMMENT ON TABLE crewsnow_ops.retention_policies IS
    'How long rows of a table are kept, and their treatment after that. run_gdpr_maintenance '
    'applies the policies, crewsnow_ops.preview_retention shows the rows that it would change. '
    'Both act with the privileges of defined_by.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.name IS 'Name of the policy.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.target IS
    'Ordinary or partitioned table, qualified and quoted. It stands for its partitions and '
    'inheritance children, too.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.time_column IS
    'Column of type date, timestamp or timestamptz from which keep counts. Without a time zone it '
    'is read as UTC. NULL and infinity never expire.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.keep IS
    'How long a row is kept after its time; at least a day.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.action IS
    'delete; anonymise: sets the columns of replacements; drop partition: drops partitions of '
    'which every row has expired.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.replacements IS
    'For anonymise: an object with a column and its new value, null or a constant as text. NULL '
    'for other actions.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.hold IS
    'Boolean SQL expression over a row. The row is kept while it is true or NULL. Names are '
    'qualified, except those of pg_catalog and columns of the row. NULL holds no row.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.cascades_to IS
    'Tables in which ON DELETE CASCADE, SET NULL or SET DEFAULT may change rows. A policy whose '
    'foreign keys reach further is SKIPPED.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.legal_basis IS
    'Law, contract or decision behind it.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.batch_rows IS
    'Rows that one transaction changes at most.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.max_rows IS
    'Rows that one run changes at most; NULL for all.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.is_enabled IS
    'Whether run_gdpr_maintenance applies it.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.defined_by IS
    'Role as which its SQL runs: the role that wrote the row last. A role that it is a member of '
    'can be given. For a superuser the SQL runs as the owner of the table.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.created_at IS 'Time of the INSERT.';
COMMENT ON COLUMN crewsnow_ops.retention_policies.updated_at IS 'Time of the last change.';
COMMENT ON CONSTRAINT retention_policies_pkey ON crewsnow_ops.retention_policies IS
    'One row per name.';
COMMENT ON CONSTRAINT retention_policies_name_check ON crewsnow_ops.retention_policies IS
    'A name has 1 to 100 printable characters and does not begin with built-in.';
COMMENT ON CONSTRAINT retention_policies_keep_check ON crewsnow_ops.retention_policies IS
    'Rows are kept for a day to 1000 years.';
COMMENT ON CONSTRAINT retention_policies_action_check ON crewsnow_ops.retention_policies IS
    'action is delete, anonymise or drop partition.';
COMMENT ON CONSTRAINT retention_policies_replacements_check ON crewsnow_ops.retention_policies IS
    'anonymise needs replacements, and no other action has any.';
COMMENT ON CONSTRAINT retention_policies_legal_basis_check ON crewsnow_ops.retention_policies IS
    'A legal basis is not empty.';
COMMENT ON CONSTRAINT retention_policies_batch_rows_check ON crewsnow_ops.retention_policies IS
    'A batch has 1 to 100000 rows.';
COMMENT ON CONSTRAINT retention_policies_max_rows_check ON crewsnow_ops.retention_policies IS
    'A cap is at least 1.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.retention_policies', '');

CREATE FUNCTION crewsnow_ops.retention_policy_is_valid() RETURNS trigger LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'retention_policy_is_valid_wrapper';
COMMENT ON FUNCTION crewsnow_ops.retention_policy_is_valid() IS
    'Trigger: checks table, columns, replacements and hold of a policy, and sets its author. The '
    'hold is analysed and not run. Errors: 22023, 42501, 42601, 42703, 42704, 42804, 42809, 42P01.';
REVOKE ALL ON FUNCTION crewsnow_ops.retention_policy_is_valid() FROM PUBLIC;
CREATE TRIGGER retention_policy_is_valid
    BEFORE INSERT OR UPDATE ON crewsnow_ops.retention_policies
    FOR EACH ROW EXECUTE FUNCTION crewsnow_ops.retention_policy_is_valid();
COMMENT ON TRIGGER retention_policy_is_valid ON crewsnow_ops.retention_policies IS
    'Checks the policy; see the function.';
ALTER TABLE crewsnow_ops.retention_policies ENABLE ALWAYS TRIGGER retention_policy_is_valid;

CREATE TABLE crewsnow_ops.retention_runs (
    run_id uuid NOT NULL,
    step integer NOT NULL,
    policy text,
    object text,
    action text NOT NULL,
    verdict text NOT NULL CONSTRAINT retention_runs_verdict_check
        CHECK (verdict OPERATOR(pg_catalog.=) ANY (ARRAY['DONE', 'SKIPPED', 'FAILED', 'STARTED'])),
    cutoff timestamptz,
    changed_rows bigint NOT NULL DEFAULT 0,
    batches bigint NOT NULL DEFAULT 0,
    held_rows bigint,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    detail text,
    command text,
    run_by text NOT NULL,
    leader_pid integer NOT NULL,
    worker_pid integer,
    CONSTRAINT retention_runs_pkey PRIMARY KEY (run_id, step)
) USING heap;
COMMENT ON TABLE crewsnow_ops.retention_runs IS
    'Runs of run_gdpr_maintenance: a row for the run (step 0, policy NULL) and one for each '
    'policy, or for each dropped partition. Each batch adds its rows in its own transaction, so '
    'the counts are right even if the server was killed. Holds no values of rows. Kept for ever.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.run_id IS 'The run.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.step IS
    'Number of the step in its run, from 1; 0 is the run itself.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.policy IS
    'Name in retention_policies, or built-in: and the table; NULL for the run itself.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.object IS
    'Table or partition, qualified and quoted; NULL for the run itself.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.action IS
    'delete, anonymise, drop partition; roll-up, partition or retention of events; run for the run '
    'itself.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.verdict IS
    'DONE; SKIPPED, with the reason in detail; FAILED, also of a run that ended before its step; '
    'STARTED while it runs. The run itself has the worst of its steps.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.cutoff IS
    'Rows with an earlier time have expired; NULL for the run itself and built-in policies.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.changed_rows IS
    'Rows that were deleted or anonymised, rows of the dropped partition included.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.batches IS 'Transactions that changed them.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.held_rows IS
    'Expired rows that the hold kept; NULL without a hold, or if they were not counted.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.started_at IS
    'Time when the step began (clock time).';
COMMENT ON COLUMN crewsnow_ops.retention_runs.ended_at IS
    'Time when the step ended; NULL while it runs, and if the run ended before it.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.detail IS
    'The effect, or the reason why it was not done; NULL if there is nothing to tell.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.command IS
    'Command that helps, on one line; NULL if none is needed.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.run_by IS
    'session_user of the session that ran it.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.leader_pid IS 'Process id of that session.';
COMMENT ON COLUMN crewsnow_ops.retention_runs.worker_pid IS
    'Process id of the background worker; NULL without one.';
COMMENT ON CONSTRAINT retention_runs_pkey ON crewsnow_ops.retention_runs IS
    'One row per step of a run.';
COMMENT ON CONSTRAINT retention_runs_verdict_check ON crewsnow_ops.retention_runs IS
    'verdict is DONE, SKIPPED, FAILED or STARTED.';
CREATE INDEX retention_runs_started_at ON crewsnow_ops.retention_runs (started_at);
COMMENT ON INDEX crewsnow_ops.retention_runs_started_at IS 'The latest runs.';
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.retention_runs', '');

CREATE FUNCTION crewsnow_ops.apply_retention_batch(p_run uuid, p_step integer, p_table oid,
        p_after text, p_block bigint, p_blocks bigint, p_skips_locked boolean)
    RETURNS TABLE (picked bigint, changed bigint, kept bigint, last text, is_complete boolean)
    LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'apply_retention_batch_wrapper';
COMMENT ON FUNCTION crewsnow_ops.apply_retention_batch(uuid, integer, oid, text, bigint, bigint,
    boolean) IS
    'For the worker of run_gdpr_maintenance: changes one batch of expired rows of a table, and '
    'adds it to the step in retention_runs. It goes on after p_after in the order of the time '
    'column, or takes p_blocks blocks from p_block. The next batch begins at last. kept counts '
    'rows that a trigger has kept. No row if the step has ended, or its policy was removed or '
    'switched off. Errors: 22004, 22023, 25001 in a transaction block, 25006, 42501.';
CREATE FUNCTION crewsnow_ops.drop_retention_partition(p_run uuid, p_step integer, p_partition oid)
    RETURNS TABLE (outcome text, dropped bigint)
    LANGUAGE c
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'drop_retention_partition_wrapper';
COMMENT ON FUNCTION crewsnow_ops.drop_retention_partition(uuid, integer, oid) IS
    'For the worker of run_gdpr_maintenance: drops a partition whose rows have all expired, and '
    'writes the number of its rows into the step in retention_runs. outcome is dropped, held, '
    'locked or not expired. No row as for apply_retention_batch. Errors: 22004, 22023, 25001 in a '
    'transaction block, 25006, 42501.';
COMMENT ON FUNCTION @extschema@.run_gdpr_maintenance() IS
    'Applies crewsnow_ops.retention_policies and the retention of the extension''s own tables, and '
    'returns a report, worst first. A background worker changes rows in small transactions, as the '
    'author of each policy, within crewsnow_ops.retention_budget and the maintenance windows. The '
    'last line is ''GDPR maintenance completed'', or says what was not done. Each policy is a row '
    'of crewsnow_ops.retention_runs. A run that was cut short is continued by the next one. In a '
    'transaction block nothing is done. Errors: 25001 with an old snapshot, 25006 on a standby or '
    'in a read-only transaction, 55006 while another session runs it. See docs/maintenance.md.';
COMMENT ON FUNCTION crewsnow_ops.preview_retention(text) IS
    'The effect that run_gdpr_maintenance would have now: a row for each policy, or for the one '
    'given, worst first. Changes nothing. verdict is FAILED; SKIPPED, with the reason; DUE: rows '
    'have expired; CLEAR: none has; OFF: not enabled; KEPT: own table that is kept on purpose. '
    'expired counts the rows that a run would change, held those that the hold keeps. Error: '
    '42704 for an unknown policy.';
REVOKE ALL ON FUNCTION @extschema@.run_gdpr_maintenance(),
    crewsnow_ops.preview_retention(text),
    crewsnow_ops.apply_retention_batch(uuid, integer, oid, text, bigint, bigint, boolean),
    crewsnow_ops.drop_retention_partition(uuid, integer, oid) FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('reader', 'SELECT', 'TABLE', 'crewsnow_ops.retention_runs'),
    ('operator', 'SELECT', 'TABLE', 'crewsnow_ops.retention_policies'),
    ('operator', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.preview_retention(text)'),
    ('admin', 'INSERT, UPDATE, DELETE', 'TABLE', 'crewsnow_ops.retention_policies'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.apply_retention_batch(uuid, integer, oid, '
        'text, bigint, bigint, boolean)'),
    ('admin', 'EXECUTE', 'FUNCTION', 'crewsnow_ops.drop_retention_partition(uuid, integer, oid)'),
    ('admin', 'EXECUTE', 'FUNCTION', '@extschema@.run_gdpr_maintenance()');
