-- $1 jsonb: the row
INSERT INTO crewsnow_ops.restore_tests
SELECT (jsonb_populate_record(NULL::crewsnow_ops.restore_tests, $1)).*
