-- The built-in rules, and as many of the others that there are fifty.
UPDATE crewsnow_ops.alert_rules SET every = '1 second', is_enabled = is_built_in;
UPDATE crewsnow_ops.alert_rules SET is_enabled = true
WHERE name IN (
    SELECT name FROM crewsnow_ops.alert_rules WHERE NOT is_built_in ORDER BY name
    LIMIT 50 - (SELECT count(*) FROM crewsnow_ops.alert_rules WHERE is_built_in)
);
