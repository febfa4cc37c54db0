-- Privileges on flags and their history, tried as each access level.
\set VERBOSITY sqlstate
CREATE EXTENSION crewsnow_ops;
CREATE ROLE outsider LOGIN;
CREATE ROLE "Reader" LOGIN;
CREATE ROLE operator LOGIN;
CREATE ROLE admin LOGIN;
SELECT crewsnow_ops.grant_access('Reader', 'reader');
SELECT crewsnow_ops.grant_access('operator', 'operator');
SELECT crewsnow_ops.grant_access('admin', 'admin');

-- an outsider may evaluate flags, and has no other privilege
SET SESSION AUTHORIZATION outsider;
SELECT is_feature_enabled_for_user('messaging');
SET search_path = '';
SELECT public.is_feature_enabled_for_user('messaging');
RESET search_path;
SELECT count(*) FROM feature_flags;
UPDATE feature_flags SET is_enabled = false;
SELECT update_feature_flag('messaging', false);
SELECT count(*) FROM crewsnow_ops.flag_history;
SELECT crewsnow_ops.flag_state_at(now());
SELECT crewsnow_ops.restore_feature_flags(now(), 'x');
SELECT crewsnow_ops.explain_feature_flag('messaging');
SELECT is_feature_enabled_for_user('messaging', 'auth0|17');
SELECT count(*) FROM crewsnow_ops.evaluate_all('auth0|17');
SELECT count(*) FROM crewsnow_ops.evaluate_all();
SELECT crewsnow_ops.explain_feature_flag('messaging', 'auth0|17');
SELECT crewsnow_ops.restore_flag_transaction('3', 'x');
SELECT count(*) FROM crewsnow_ops.preview_restore(now());
SELECT crewsnow_ops.export_flags();
SELECT count(*) FROM crewsnow_ops.import_flags('[]');
SELECT crewsnow_ops.erase_user_from_flags(gen_random_uuid(), 'x');
SELECT crewsnow_ops.adopt('feature_flags');
SELECT count(*) FROM crewsnow_ops.flag_history_erasures;
SELECT crewsnow_ops.grant_access('outsider', 'admin');

-- a reader reads flags and their history, but changes nothing
SET SESSION AUTHORIZATION "Reader";
SELECT count(*) FROM feature_flags;
SELECT count(*) FROM crewsnow_ops.flag_history;
SELECT count(*) FROM crewsnow_ops.flag_state_at(now());
SELECT crewsnow_ops.explain_feature_flag('messaging') ->> 'value';
SELECT count(*) FROM crewsnow_ops.evaluate_all('auth0|17');
SELECT count(*) FROM crewsnow_ops.preview_restore(clock_timestamp());
SELECT jsonb_array_length(crewsnow_ops.export_flags() -> 'flags');
SELECT count(*) FROM crewsnow_ops.import_flags('[]');
SELECT crewsnow_ops.restore_flag_transaction('3', 'x');
SELECT crewsnow_ops.erase_user_from_flags(gen_random_uuid(), 'x');
SELECT count(*) FROM crewsnow_ops.flag_history_erasures;
UPDATE feature_flags SET is_enabled = false;
SELECT update_feature_flag('messaging', false);
SELECT crewsnow_ops.restore_feature_flags(now(), 'x');
SELECT count(*) FROM crewsnow_ops.user_context;
INSERT INTO crewsnow_ops.flag_history SELECT * FROM crewsnow_ops.flag_history;
SELECT crewsnow_ops.grant_access('Reader', 'admin');

-- an operator changes flags in every way, but writes no history row directly
SET SESSION AUTHORIZATION operator;
SELECT update_feature_flag('messaging', false, NULL, 'engineer on the phone');
UPDATE feature_flags SET is_enabled = true WHERE flag_key = 'messaging';
INSERT INTO feature_flags (flag_key) VALUES ('ski_lift_map');
DELETE FROM feature_flags WHERE flag_key = 'ski_lift_map';
TRUNCATE feature_flags;
ALTER TABLE feature_flags DISABLE TRIGGER ALL;
SELECT count(*) FROM crewsnow_ops.flag_history;
INSERT INTO crewsnow_ops.flag_history SELECT * FROM crewsnow_ops.flag_history;
UPDATE crewsnow_ops.flag_history SET reason = 'x';
DELETE FROM crewsnow_ops.flag_history;
INSERT INTO crewsnow_ops.user_context (user_id) VALUES (gen_random_uuid());
DELETE FROM crewsnow_ops.launch_flags;
UPDATE feature_flags SET target_user_ids = '{11111111-1111-4111-8111-111111111111}'
    WHERE flag_key = 'messaging';
SELECT crewsnow_ops.erase_user_from_flags('11111111-1111-4111-8111-111111111111', 'request 17');
SELECT session_user_name, reason, history_rows FROM crewsnow_ops.flag_history_erasures;
INSERT INTO crewsnow_ops.flag_history_erasures (session_user_name, current_user_name, reason,
    history_rows) VALUES ('x', 'x', 'x', 0);
DELETE FROM crewsnow_ops.flag_history_erasures;
SELECT flag_key, action FROM crewsnow_ops.import_flags('[{"flag_key": "messaging"}]', false);
SELECT crewsnow_ops.restore_flag_transaction('3', 'x');
SELECT crewsnow_ops.adopt('crewsnow_ops.user_context', 'feature_flags');
DELETE FROM feature_flags WHERE flag_key = 'voice_messages';
SELECT crewsnow_ops.restore_feature_flags((SELECT min(created_at) FROM feature_flags), 'undo');
SELECT crewsnow_ops.grant_access('operator', 'admin');
SELECT DISTINCT session_user_name, current_user_name FROM crewsnow_ops.flag_history;

-- the history names the session user, also within a SECURITY DEFINER function
RESET SESSION AUTHORIZATION;
CREATE FUNCTION kill_messaging() RETURNS boolean LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT public.update_feature_flag('messaging', false) $$;
SET SESSION AUTHORIZATION outsider;
SELECT kill_messaging();
RESET SESSION AUTHORIZATION;
SELECT session_user_name, current_user_name = current_user AS by_the_definer
    FROM crewsnow_ops.flag_history ORDER BY changed_at DESC LIMIT 1;

-- the owner writes the history row, but a trigger of the caller runs with the caller's privileges
CREATE TABLE trigger_roles (name text);
GRANT INSERT ON trigger_roles TO operator;
CREATE FUNCTION note_role() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.trigger_roles VALUES (current_user); RETURN NULL; END $$;
CREATE TRIGGER zz_note_role AFTER UPDATE ON feature_flags FOR EACH ROW EXECUTE FUNCTION note_role();
SET SESSION AUTHORIZATION operator;
UPDATE feature_flags SET is_enabled = true WHERE flag_key = 'messaging';
SELECT current_user;
RESET SESSION AUTHORIZATION;
SELECT * FROM trigger_roles;
DROP TRIGGER zz_note_role ON feature_flags;
DROP TABLE trigger_roles;

-- a new level replaces the old one; revoking also revokes privileges that were granted by hand
GRANT ALL ON feature_flags TO operator;
SELECT crewsnow_ops.grant_access('operator', 'reader');
SET SESSION AUTHORIZATION operator;
SELECT count(*) FROM feature_flags;
SELECT update_feature_flag('messaging', true);
INSERT INTO crewsnow_ops.user_context (user_id) VALUES (gen_random_uuid());
RESET SESSION AUTHORIZATION;
SELECT privilege_type FROM information_schema.role_table_grants
    WHERE grantee = 'operator' AND table_name = 'feature_flags';
GRANT TRIGGER, TRUNCATE ON feature_flags TO operator;
SELECT crewsnow_ops.revoke_access('operator');
SELECT crewsnow_ops.revoke_access('admin');
SELECT crewsnow_ops.revoke_access('Reader');
SET SESSION AUTHORIZATION operator;
SELECT count(*) FROM feature_flags;
SELECT crewsnow_ops.flag_state_at(now());
RESET SESSION AUTHORIZATION;
DROP ROLE operator;
DROP ROLE admin;
DROP ROLE "Reader";

-- arguments that are refused
SELECT crewsnow_ops.grant_access('PUBLIC', 'reader');
SELECT crewsnow_ops.grant_access('public', 'reader');
SELECT crewsnow_ops.grant_access('reader', 'outsider');
SELECT crewsnow_ops.grant_access(NULL, 'reader');
SELECT crewsnow_ops.grant_access('outsider', NULL);
SELECT crewsnow_ops.grant_access('outsider', 'owner');
SELECT crewsnow_ops.grant_access('outsider; DROP TABLE feature_flags', 'reader');
SELECT crewsnow_ops.revoke_access(NULL);
SELECT crewsnow_ops.revoke_access('never');
-- refused: the owner would lose privileges
SELECT crewsnow_ops.grant_access('postgres', 'reader');
SELECT crewsnow_ops.revoke_access('postgres');
SELECT relacl IS NULL OR relacl::text ~ 'postgres=arwdDxt' AS owner_keeps_all FROM pg_class
    WHERE relname = 'feature_flags';
DROP ROLE outsider;
