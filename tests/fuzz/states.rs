//! The states of a session in which a function is called.

use harness::random::Random;

/// The statements before, with and after a call, each sent by itself.
pub fn batches(call: &str, random: &mut Random) -> Vec<String> {
    let one = |text: &str| vec![text.to_owned()];
    let around =
        |before: &str, after: &str| vec![before.to_owned(), call.to_owned(), after.to_owned()];
    match random.below(20) {
        0 => around("BEGIN READ ONLY", "COMMIT"),
        1 => around("BEGIN ISOLATION LEVEL SERIALIZABLE", "COMMIT"),
        2 => around("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT txid_current()", "COMMIT"),
        // Each statement is refused, and the session must stay usable.
        3 => vec!["BEGIN".to_owned(), "SELECT 1 / 0".to_owned(), call.to_owned()],
        4 => around("BEGIN; SAVEPOINT a; SELECT 1", "ROLLBACK TO a; SELECT 1; COMMIT"),
        5 => around("BEGIN; SAVEPOINT a; SAVEPOINT b", "RELEASE a; ROLLBACK"),
        6 if call.starts_with("SELECT") => vec![
            format!("BEGIN; DECLARE c CURSOR FOR {call}"),
            "FETCH 1 FROM c".to_owned(),
            "SAVEPOINT a; FETCH 1 FROM c; ROLLBACK TO a".to_owned(),
            "CLOSE c; COMMIT".to_owned(),
        ],
        7 if call.starts_with("SELECT") => vec![
            format!("BEGIN; DECLARE c CURSOR WITH HOLD FOR {call}; COMMIT"),
            "FETCH ALL FROM c".to_owned(),
            "CLOSE c".to_owned(),
        ],
        8 => {
            let milliseconds = 1 + random.below(40);
            vec![format!("SET statement_timeout = {milliseconds}"), call.to_owned()]
        }
        9 if call.starts_with("SELECT") => vec![format!(
            "DO $fuzz$ BEGIN EXECUTE $call${call}$call$; EXCEPTION
                 WHEN division_by_zero THEN NULL; END $fuzz$"
        )],
        10 => vec!["SET force_parallel_mode = on".to_owned(), call.to_owned()],
        11 if call.starts_with("SELECT") => vec![
            format!("PREPARE p AS {call}"),
            "EXECUTE p".to_owned(),
            "EXECUTE p".to_owned(),
            "DEALLOCATE p".to_owned(),
        ],
        12 => around(
            "SET search_path = ''; SET datestyle = 'German'; SET timezone = 'Asia/Kathmandu'; \
             SET intervalstyle = 'iso_8601'; SET bytea_output = 'escape'; \
             SET extra_float_digits = -15; SET standard_conforming_strings = on",
            "SELECT 1",
        ),
        13 => around("SET work_mem = '64kB'; SET enable_hashagg = off; SET jit = on", "SELECT 1"),
        14 => around("BEGIN; LOCK TABLE messages IN SHARE MODE", "ROLLBACK"),
        15 => around("SET session_replication_role = replica", "SELECT 1"),
        16 if call.starts_with("SELECT *") => one(&format!("CREATE TEMP TABLE kept AS {call}")),
        _ => one(call),
    }
}
