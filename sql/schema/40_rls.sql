-- Row-level security: what operators have accepted, and how it stood earlier.
CREATE TABLE crewsnow_ops.rls_acceptances (
    finding text NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    accepted_by text NOT NULL DEFAULT SESSION_USER,
    reason text NOT NULL,
    expires_at timestamptz NOT NULL,
    severity text NOT NULL,
    CONSTRAINT rls_acceptances_pkey PRIMARY KEY (finding, accepted_at),
    CONSTRAINT rls_acceptances_check CHECK (reason OPERATOR(pg_catalog.<>) '' AND pg_catalog.isfinite(expires_at))
) USING heap;
COMMENT ON TABLE crewsnow_ops.rls_acceptances IS 'Findings of the audit that somebody has accepted: why, and until when. The latest of a finding holds, until it expires.';
COMMENT ON COLUMN crewsnow_ops.rls_acceptances.finding IS 'The finding, as audit_rls names it.';
COMMENT ON COLUMN crewsnow_ops.rls_acceptances.accepted_at IS 'When.';
COMMENT ON COLUMN crewsnow_ops.rls_acceptances.accepted_by IS 'By whom (session_user).';
COMMENT ON COLUMN crewsnow_ops.rls_acceptances.reason IS 'Why.';
COMMENT ON COLUMN crewsnow_ops.rls_acceptances.expires_at IS 'Until when.';
COMMENT ON COLUMN crewsnow_ops.rls_acceptances.severity IS 'How urgent it was. What has become more urgent is not accepted.';
COMMENT ON CONSTRAINT rls_acceptances_pkey ON crewsnow_ops.rls_acceptances IS 'One decision at a time.';
COMMENT ON CONSTRAINT rls_acceptances_check ON crewsnow_ops.rls_acceptances IS 'A reason and an end are needed.';

CREATE TABLE crewsnow_ops.rls_runs (
    run uuid NOT NULL,
    ran_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    ran_by text NOT NULL DEFAULT SESSION_USER,
    unmet integer NOT NULL,
    CONSTRAINT rls_runs_pkey PRIMARY KEY (run)
) USING heap;
COMMENT ON TABLE crewsnow_ops.rls_runs IS 'Audits that record_rls_audit has kept, the last hundred.';
COMMENT ON COLUMN crewsnow_ops.rls_runs.run IS 'Its id.';
COMMENT ON COLUMN crewsnow_ops.rls_runs.ran_at IS 'When.';
COMMENT ON COLUMN crewsnow_ops.rls_runs.ran_by IS 'By whom (session_user).';
COMMENT ON COLUMN crewsnow_ops.rls_runs.unmet IS 'How many requirements of generate_rls_checklist were not SECURE.';
COMMENT ON CONSTRAINT rls_runs_pkey ON crewsnow_ops.rls_runs IS 'An audit has one row.';

-- Without foreign keys to rls_runs: restored side by side (pg_restore -j), these rows may come before those.
CREATE TABLE crewsnow_ops.rls_run_findings (
    run uuid NOT NULL,
    finding text NOT NULL,
    severity text NOT NULL,
    CONSTRAINT rls_run_findings_pkey PRIMARY KEY (run, finding)
) USING heap;
COMMENT ON TABLE crewsnow_ops.rls_run_findings IS 'What a kept audit found.';
COMMENT ON COLUMN crewsnow_ops.rls_run_findings.run IS 'The audit.';
COMMENT ON COLUMN crewsnow_ops.rls_run_findings.finding IS 'The finding, as audit_rls names it.';
COMMENT ON COLUMN crewsnow_ops.rls_run_findings.severity IS 'How urgent it was.';
COMMENT ON CONSTRAINT rls_run_findings_pkey ON crewsnow_ops.rls_run_findings IS 'A finding has one row an audit.';

CREATE TABLE crewsnow_ops.rls_run_verdicts (
    run uuid NOT NULL,
    relation text NOT NULL,
    reach text NOT NULL,
    role text NOT NULL,
    verdict text NOT NULL,
    condition text NOT NULL,
    CONSTRAINT rls_run_verdicts_pkey PRIMARY KEY (run, relation, reach, role)
) USING heap;
COMMENT ON TABLE crewsnow_ops.rls_run_verdicts IS 'Who could reach whose rows at the time of a kept audit.';
COMMENT ON COLUMN crewsnow_ops.rls_run_verdicts.run IS 'The audit.';
COMMENT ON COLUMN crewsnow_ops.rls_run_verdicts.relation IS 'The table.';
COMMENT ON COLUMN crewsnow_ops.rls_run_verdicts.reach IS 'What could be done, as in rls_matrix.';
COMMENT ON COLUMN crewsnow_ops.rls_run_verdicts.role IS 'By whom.';
COMMENT ON COLUMN crewsnow_ops.rls_run_verdicts.verdict IS 'The widest verdict of the role''s identities.';
COMMENT ON COLUMN crewsnow_ops.rls_run_verdicts.condition IS 'What the server enforced.';
COMMENT ON CONSTRAINT rls_run_verdicts_pkey ON crewsnow_ops.rls_run_verdicts IS 'One verdict a table, reach and role.';

SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.rls_acceptances', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.rls_runs', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.rls_run_findings', '');
SELECT pg_catalog.pg_extension_config_dump('crewsnow_ops.rls_run_verdicts', '');

-- The audit's self-test: one table that leaks in every way and one that does not. An audit that
-- misjudges either of them reports audit-self-test-failed.
-- No role has privileges on them; the audit examines them as if the client roles had all.
CREATE TABLE crewsnow_ops.rls_self_test_leaky (
    owner uuid NOT NULL,
    CONSTRAINT rls_self_test_leaky_pkey PRIMARY KEY (owner)
) USING heap;
COMMENT ON TABLE crewsnow_ops.rls_self_test_leaky IS
    'Self-test table with a policy that leaks every row: the audit must report it. Holds no user data.';
COMMENT ON COLUMN crewsnow_ops.rls_self_test_leaky.owner IS
    'Owner column. The values belong to no account.';
COMMENT ON CONSTRAINT rls_self_test_leaky_pkey ON crewsnow_ops.rls_self_test_leaky IS
    'One row per owner.';
INSERT INTO crewsnow_ops.rls_self_test_leaky VALUES
    ('00000000-0000-4000-8000-00000000000a'), ('00000000-0000-4000-8000-00000000000b');
ALTER TABLE crewsnow_ops.rls_self_test_leaky ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY opened ON crewsnow_ops.rls_self_test_leaky
    USING (owner IS NOT NULL) WITH CHECK (true);
COMMENT ON POLICY opened ON crewsnow_ops.rls_self_test_leaky IS
    'True for every row, but not a constant: only a probe of the rows shows the leak.';

CREATE TABLE crewsnow_ops.rls_self_test_isolated (
    owner uuid NOT NULL,
    CONSTRAINT rls_self_test_isolated_pkey PRIMARY KEY (owner)
) USING heap;
COMMENT ON TABLE crewsnow_ops.rls_self_test_isolated IS
    'Self-test table that does not leak: the audit must find it ISOLATED. Holds no user data.';
COMMENT ON COLUMN crewsnow_ops.rls_self_test_isolated.owner IS
    'Owner column. The values belong to no account.';
COMMENT ON CONSTRAINT rls_self_test_isolated_pkey ON crewsnow_ops.rls_self_test_isolated IS
    'One row per owner.';
INSERT INTO crewsnow_ops.rls_self_test_isolated VALUES
    ('00000000-0000-4000-8000-00000000000a'), ('00000000-0000-4000-8000-00000000000b');
ALTER TABLE crewsnow_ops.rls_self_test_isolated
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owned ON crewsnow_ops.rls_self_test_isolated
    USING (owner OPERATOR(pg_catalog.=) CASE
        WHEN pg_catalog.current_setting('crewsnow_ops.self_test_user') OPERATOR(pg_catalog.<>) ''
        THEN pg_catalog.current_setting('crewsnow_ops.self_test_user')::pg_catalog.uuid
    END);
COMMENT ON POLICY owned ON crewsnow_ops.rls_self_test_isolated IS
    'True for the row whose owner is crewsnow_ops.self_test_user.';
