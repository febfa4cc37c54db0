-- $1 system identifier, $2 database, $3 number of erasures, $4 number of accounts
INSERT INTO crewsnow_ops.erasure_replays
    (replayed_at, replayed_by, system_identifier, database, erasures, erased_again)
VALUES (clock_timestamp(), session_user, $1, $2, $3, $4)
