-- Plainly, without IF NOT EXISTS: a schema of this name that somebody prepared beforehand must make CREATE EXTENSION fail.
CREATE SCHEMA crewsnow_ops;
COMMENT ON SCHEMA crewsnow_ops IS 'Incident response: everything of the extension crewsnow_ops that the runbook does not name.';
