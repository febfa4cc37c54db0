-- Fallback without a readable crewsnow_ops.maintenance_runs.
SELECT 'SKIPPED' AS status, NULL AS object, NULL AS current_value,
    'the last run succeeds' AS threshold,
    'crewsnow_ops.maintenance_runs cannot be read by ' || current_user AS evidence,
    'Readers of the runs of maintenance need access level reader.' AS recommendation,
    NULL AS next_command, 'now' AS since
