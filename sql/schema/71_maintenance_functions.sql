COMMENT ON FUNCTION @extschema@.run_performance_maintenance() IS
    'Maintains this database and returns a report, worst first. A background worker runs VACUUM '
    'and ANALYZE on the tables that autovacuum would take, one at a time, within '
    'crewsnow_ops.maintenance_budget. The last line is ''Performance maintenance completed'', or '
    'says what was not done. Each step is a row of crewsnow_ops.maintenance_runs. Cancelling the '
    'statement ends the worker. In a transaction block there is no worker, and the report has the '
    'commands. Errors: 25001 with an old snapshot, 25006 on a standby or in a read-only '
    'transaction, 55006 while another session runs it. See docs/maintenance.md.';
REVOKE ALL ON FUNCTION @extschema@.run_performance_maintenance() FROM PUBLIC;

INSERT INTO crewsnow_ops.access_privileges VALUES
    ('admin', 'EXECUTE', 'FUNCTION', '@extschema@.run_performance_maintenance()');
