-- Bad input gets a clear error, and nothing changes.
CREATE EXTENSION crewsnow_ops;
CREATE TABLE before AS SELECT * FROM feature_flags;
SELECT update_feature_flag(NULL, true);
\echo :LAST_ERROR_SQLSTATE
SELECT update_feature_flag('', true);
\echo :LAST_ERROR_SQLSTATE
SELECT update_feature_flag(repeat('k', 10240), true);
\echo :LAST_ERROR_SQLSTATE
SELECT update_feature_flag(repeat('k', 101), true);
SELECT update_feature_flag('l''été', true);
\echo :LAST_ERROR_SQLSTATE
SELECT update_feature_flag('"messaging"', true);
SELECT update_feature_flag(E'messaging\n', true);
\echo :LAST_ERROR_SQLSTATE
SELECT update_feature_flag('лыжи', true);
\echo :LAST_ERROR_SQLSTATE
SELECT update_feature_flag('messaging ', true);
SELECT update_feature_flag('messaging'';--', true);
SELECT update_feature_flag('messaging', true, -1);
\echo :LAST_ERROR_SQLSTATE
SELECT update_feature_flag('messaging', true, 101);
\echo :LAST_ERROR_SQLSTATE
SELECT update_feature_flag('messaging', true, 2147483647);
SELECT update_feature_flag('messaging', true, 2147483648);
\echo :LAST_ERROR_SQLSTATE
SELECT update_feature_flag('mesaging', true);
\echo :LAST_ERROR_SQLSTATE
SELECT update_feature_flag('Tracker-Pro', false);
SELECT update_feature_flag('maintenance_mod', true);
SELECT update_feature_flag('maintenance', true);
\echo :LAST_ERROR_SQLSTATE
SELECT update_feature_flag('voice', true);

-- NULL keeps the current value
SELECT update_feature_flag('messaging', true, NULL);
SELECT update_feature_flag('messaging', NULL, NULL, NULL);

-- statements on the table itself
\set VERBOSITY terse
UPDATE feature_flags SET rollout_percentage = NULL WHERE flag_key = 'messaging';
\echo :LAST_ERROR_SQLSTATE
UPDATE feature_flags SET rollout_percentage = -1 WHERE flag_key = 'never';
UPDATE feature_flags SET rollout_percentage = -1 WHERE flag_key = 'messaging';
\echo :LAST_ERROR_SQLSTATE
UPDATE feature_flags SET rollout_percentage = 101 WHERE flag_key = 'messaging';
UPDATE feature_flags SET rollout_percentage = 2147483648 WHERE flag_key = 'messaging';
\echo :LAST_ERROR_SQLSTATE
UPDATE feature_flags SET feature_category = 'other' WHERE flag_key = 'messaging';
UPDATE feature_flags SET flag_key = 'basic_matching' WHERE flag_key = 'messaging';
\echo :LAST_ERROR_SQLSTATE
UPDATE feature_flags SET flag_key = NULL WHERE flag_key = 'messaging';
UPDATE feature_flags SET is_enabled = NULL WHERE flag_key = 'messaging';
UPDATE feature_flags SET target_user_ids = NULL WHERE flag_key = 'messaging';
UPDATE feature_flags SET id = gen_random_uuid() WHERE flag_key = 'messaging';
\echo :LAST_ERROR_SQLSTATE
UPDATE feature_flags SET rollout_group = 'other' WHERE flag_key = 'messaging';
\echo :LAST_ERROR_SQLSTATE
INSERT INTO feature_flags (flag_key) VALUES (NULL);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO feature_flags (flag_key) VALUES ('');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO feature_flags (flag_key) VALUES (repeat('k', 101));
INSERT INTO feature_flags (flag_key) VALUES (repeat('k', 10240));
INSERT INTO feature_flags (flag_key) VALUES ('l''été');
INSERT INTO feature_flags (flag_key) VALUES (E'a\nb');
INSERT INTO feature_flags (flag_key) VALUES (E'a\n');
INSERT INTO feature_flags (flag_key) VALUES ('лыжи');
INSERT INTO feature_flags (id, flag_key) VALUES (NULL, 'no_id');
INSERT INTO feature_flags (flag_key) VALUES ('messaging');
INSERT INTO feature_flags (flag_key) VALUES ('MESSAGING');
\echo :LAST_ERROR_SQLSTATE
UPDATE feature_flags SET flag_key = 'Messaging' WHERE flag_key = 'boost_station';
\set VERBOSITY default
UPDATE feature_flags SET target_regions = '{FR,NULL}' WHERE flag_key = 'messaging';
\echo :LAST_ERROR_SQLSTATE
UPDATE feature_flags SET target_segments = ARRAY[NULL]::text[] WHERE flag_key = 'messaging';
INSERT INTO feature_flags (flag_key, target_user_ids) VALUES ('listed', '{NULL}');

-- read-only transactions
BEGIN READ ONLY;
SELECT update_feature_flag('messaging', false);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT crewsnow_ops.restore_feature_flags(now(), 'x');
ROLLBACK;
BEGIN READ ONLY;
UPDATE feature_flags SET is_enabled = false;
ROLLBACK;

-- bad times and reasons of restore_feature_flags
SELECT crewsnow_ops.restore_feature_flags(NULL, 'x');
\echo :LAST_ERROR_SQLSTATE
SELECT crewsnow_ops.restore_feature_flags(now(), NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT crewsnow_ops.restore_feature_flags(now(), '   ');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY sqlstate
SELECT crewsnow_ops.restore_feature_flags('infinity', 'x');
SELECT crewsnow_ops.restore_feature_flags('-infinity', 'x');
SELECT crewsnow_ops.restore_feature_flags(now() + interval '1 hour', 'x');
SELECT crewsnow_ops.restore_feature_flags('2001-01-01', 'x');
\set VERBOSITY default

-- documents that are no flags
SELECT * FROM crewsnow_ops.import_flags(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM crewsnow_ops.import_flags('{"flags": []}');
SELECT * FROM crewsnow_ops.import_flags('[]', NULL);
SELECT * FROM crewsnow_ops.import_flags('[1]');
SELECT * FROM crewsnow_ops.import_flags('[{"flag_key": null}]');
SELECT * FROM crewsnow_ops.import_flags('[{"flag_key": "messaging"}, {"flag_key": "Messaging"}]');
SELECT * FROM crewsnow_ops.import_flags('[{"flag_key": "messaging", "colour": "red"}]', false);
SELECT * FROM crewsnow_ops.import_flags('[{"flag_key": "messaging", "is_enabled": "maybe"}]');
SELECT * FROM crewsnow_ops.import_flags('[{"flag_key": "messaging", "is_enabled": null}]');
SELECT * FROM crewsnow_ops.import_flags('[{"flag_key": "x", "rollout_percentage": 1e400}]');
SELECT * FROM crewsnow_ops.import_flags('[{"flag_key": "x", "target_regions": [null]}]');
SELECT * FROM crewsnow_ops.import_flags('[{"flag_key": "l''été"}]');
SELECT crewsnow_ops.erase_user_from_flags(NULL, 'x');
SELECT crewsnow_ops.erase_user_from_flags('11111111-1111-4111-8111-111111111111', ' ');
SELECT * FROM crewsnow_ops.adopt(NULL);
SELECT * FROM crewsnow_ops.adopt('before');
SELECT * FROM crewsnow_ops.adopt('feature_flags');

-- evaluation never raises
SELECT is_feature_enabled_for_user(k) FROM (VALUES (NULL), (''), ('лыжи'), (E'a\nb'),
    (repeat('k', 10240)), (repeat('k', 100000))) AS v (k);
SELECT is_feature_enabled_for_user('messaging', NULL),
    is_feature_enabled_for_user(NULL, '11111111-1111-4111-8111-111111111111');

-- no flag and no history row has changed
SELECT count(*) AS changed FROM ((SELECT * FROM feature_flags EXCEPT SELECT * FROM before)
    UNION ALL (SELECT * FROM before EXCEPT SELECT * FROM feature_flags)) AS d;
SELECT count(*) AS changes FROM crewsnow_ops.flag_history;

-- trigger functions that no trigger calls
SELECT crewsnow_ops.feature_flags_before_write();
\echo :LAST_ERROR_SQLSTATE
SELECT crewsnow_ops.feature_flags_begin_statement();
SELECT crewsnow_ops.flag_history_is_append_only();
