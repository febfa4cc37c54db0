-- $1 current user, $2 reason, $3 subject of the JWT
INSERT INTO crewsnow_ops.flag_history
    (flag_id, changed_at, flag_key, operation, before, after, session_user_name, current_user_name,
        updated_by, reason, application_name, client_addr, xid, jwt_subject)
SELECT
    f.id,
    greatest(
        clock_timestamp(),
        (SELECT max(h.changed_at) + interval '1 microsecond' FROM crewsnow_ops.flag_history AS h
            WHERE h.flag_id = f.id)
    ),
    f.flag_key, 'TRUNCATE', to_jsonb(f.*), NULL,
    session_user, $1, NULL, $2, current_setting('application_name'), inet_client_addr(),
        pg_current_xact_id(), $3
FROM @extschema@.feature_flags AS f
