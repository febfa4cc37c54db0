-- Row-level security: acceptances and stored audits.
-- An enum, so that severities sort and compare as such: ORDER BY severity is worst first.
CREATE TYPE crewsnow_ops.rls_severity AS ENUM ('CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'INFO');
COMMENT ON TYPE crewsnow_ops.rls_severity IS
    'Urgency of a finding, worst first: severity <= ''MEDIUM'' selects the worst three.';

CREATE TABLE crewsnow_ops.rls_acceptances (
    finding text NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    accepted_by text NOT NULL DEFAULT SESSION_USER,
    reason text NOT NULL,
    expires_at timestamptz NOT NULL,
    severity crewsnow_ops.rls_severity NOT NULL,
    CONSTRAINT rls_acceptances_pkey PRIMARY KEY (finding, accepted_at),
    CONSTRAINT rls_acceptances_check CHECK (reason OPERATOR(pg_catalog.<>) ''
        AND pg_catalog.isfinite(expires_at))
) USING heap;
COMMENT ON TABLE crewsnow_ops.rls_acceptances IS
    'Findings that an operator accepted, with reason and expiry. The latest row of a finding '
    'applies, until it expires.';
COMMENT ON COLUMN crewsnow_ops.rls_acceptances.finding IS
    'Name of the finding, or the table whose content is public, as in table public.stations. A '
    'finding that lists several objects has one row per object.';
COMMENT ON COLUMN crewsnow_ops.rls_acceptances.accepted_at IS
    'Time of the acceptance (clock time).';
COMMENT ON COLUMN crewsnow_ops.rls_acceptances.accepted_by IS 'Author (session_user).';
COMMENT ON COLUMN crewsnow_ops.rls_acceptances.reason IS
    'Reason; shown in every report in place of the finding.';
COMMENT ON COLUMN crewsnow_ops.rls_acceptances.expires_at IS
    'Expiry, at most one year after accepted_at.';
COMMENT ON COLUMN crewsnow_ops.rls_acceptances.severity IS
    'Severity of the finding when it was accepted. A finding that became worse is not accepted.';
COMMENT ON CONSTRAINT rls_acceptances_pkey ON crewsnow_ops.rls_acceptances IS
    'One acceptance of a finding at a time.';
COMMENT ON CONSTRAINT rls_acceptances_check ON crewsnow_ops.rls_acceptances IS
    'reason is not empty; expires_at is finite.';

CREATE TABLE crewsnow_ops.rls_runs (
    run uuid NOT NULL,
    ran_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    ran_by text NOT NULL DEFAULT SESSION_USER,
    unmet integer NOT NULL,
    CONSTRAINT rls_runs_pkey PRIMARY KEY (run)
) USING heap;
COMMENT ON TABLE crewsnow_ops.rls_runs IS 'Audits that record_rls_audit stored; the last hundred.';
COMMENT ON COLUMN crewsnow_ops.rls_runs.run IS 'Id of the audit.';
COMMENT ON COLUMN crewsnow_ops.rls_runs.ran_at IS 'Time of the audit (clock time).';
COMMENT ON COLUMN crewsnow_ops.rls_runs.ran_by IS 'Author (session_user).';
COMMENT ON COLUMN crewsnow_ops.rls_runs.unmet IS
    'Number of requirements of generate_rls_checklist that were not SECURE.';
COMMENT ON CONSTRAINT rls_runs_pkey ON crewsnow_ops.rls_runs IS 'One row per audit.';

-- No foreign keys to rls_runs: pg_restore -j may load these rows first.
CREATE TABLE crewsnow_ops.rls_run_findings (
    run uuid NOT NULL,
    finding text NOT NULL,
    severity crewsnow_ops.rls_severity NOT NULL,
    CONSTRAINT rls_run_findings_pkey PRIMARY KEY (run, finding)
) USING heap;
COMMENT ON TABLE crewsnow_ops.rls_run_findings IS 'Findings of stored audits.';
COMMENT ON COLUMN crewsnow_ops.rls_run_findings.run IS 'Id of the audit.';
COMMENT ON COLUMN crewsnow_ops.rls_run_findings.finding IS 'Name of the finding, as in audit_rls.';
COMMENT ON COLUMN crewsnow_ops.rls_run_findings.severity IS 'Severity of the finding.';
COMMENT ON CONSTRAINT rls_run_findings_pkey ON crewsnow_ops.rls_run_findings IS
    'One row per audit and finding.';

CREATE TABLE crewsnow_ops.rls_run_verdicts (
    run uuid NOT NULL,
    relation text NOT NULL,
    reach text NOT NULL,
    role text NOT NULL,
    verdict text NOT NULL,
    condition text NOT NULL,
    CONSTRAINT rls_run_verdicts_pkey PRIMARY KEY (run, relation, reach, role)
) USING heap;
COMMENT ON TABLE crewsnow_ops.rls_run_verdicts IS 'Verdicts of stored audits.';
COMMENT ON COLUMN crewsnow_ops.rls_run_verdicts.run IS 'Id of the audit.';
COMMENT ON COLUMN crewsnow_ops.rls_run_verdicts.relation IS 'Table, schema-qualified.';
COMMENT ON COLUMN crewsnow_ops.rls_run_verdicts.reach IS 'Reach, as in rls_matrix.';
COMMENT ON COLUMN crewsnow_ops.rls_run_verdicts.role IS 'Client role.';
COMMENT ON COLUMN crewsnow_ops.rls_run_verdicts.verdict IS
    'Widest verdict of the identities of the role.';
COMMENT ON COLUMN crewsnow_ops.rls_run_verdicts.condition IS 'Quals that the server enforced.';
COMMENT ON CONSTRAINT rls_run_verdicts_pkey ON crewsnow_ops.rls_run_verdicts IS
    'One row per audit, table, reach and role.';

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
    'Self-test table with a policy that leaks every row: the audit must report it. Holds no user '
    'data.';
COMMENT ON COLUMN crewsnow_ops.rls_self_test_leaky.owner IS
    'Owner column. The values belong to no account.';
COMMENT ON CONSTRAINT rls_self_test_leaky_pkey ON crewsnow_ops.rls_self_test_leaky IS
    'One row per owner.';
INSERT INTO crewsnow_ops.rls_self_test_leaky VALUES
    ('00000000-0000-4000-8000-00000000000a'), ('00000000-0000-4000-8000-00000000000b');
ALTER TABLE crewsnow_ops.rls_self_test_leaky ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY opened ON crewsnow_ops.rls_self_test_leaky
    USING (owner IS NOT NULL) WITH CHECK (owner IS NOT NULL);
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
        WHEN (SELECT pg_catalog.current_setting('crewsnow_ops.self_test_user'))
            OPERATOR(pg_catalog.<>) ''
        THEN (SELECT pg_catalog.current_setting('crewsnow_ops.self_test_user'))::pg_catalog.uuid
    END);
COMMENT ON POLICY owned ON crewsnow_ops.rls_self_test_isolated IS
    'True for the row whose owner is crewsnow_ops.self_test_user.';
