//! Clients that share one session of the server through the pooler leave nothing to each other.

use super::client::Site;
use harness::{run, value};
use postgres::Client;

/// The newest change in the flag history, as JSON.
fn newest_change(oncall: &mut Client) -> String {
    value(
        oncall,
        "SELECT to_jsonb(h) FROM crewsnow_ops.flag_history AS h ORDER BY changed_at DESC LIMIT 1",
    )
}

#[test]
fn a_reason_or_claim_stays_with_the_client_that_gave_it() {
    let site = Site::start("client_handover", 1);
    let mut superuser = site.create_database("handover");
    run(
        &mut superuser,
        "INSERT INTO feature_flags (flag_key, is_enabled) VALUES ('alpha', true), ('omega', true)",
    );
    let claims = r#"{"sub": "subject-of-the-first", "role": "authenticated"}"#;
    // The first client gives the reason or the claims, each in one way.
    let first = [
        "BEGIN; SET LOCAL crewsnow_ops.change_reason = 'reason of the first';
         SELECT update_feature_flag('alpha', NOT is_enabled) FROM feature_flags
         WHERE flag_key = 'alpha'; COMMIT"
            .to_owned(),
        "SET crewsnow_ops.change_reason = 'reason of the first';
         UPDATE feature_flags SET is_enabled = NOT is_enabled WHERE flag_key = 'alpha'"
            .to_owned(),
        "SET crewsnow_ops.change_reason = 'reason of the first'".to_owned(),
        "SELECT set_config('crewsnow_ops.change_reason', 'reason of the first', false)".to_owned(),
        format!(
            "BEGIN; SELECT set_config('request.jwt.claims', '{claims}', true);
             UPDATE feature_flags SET is_enabled = NOT is_enabled WHERE flag_key = 'alpha';
             COMMIT"
        ),
        "BEGIN; SELECT set_config('request.jwt.claim.sub', 'subject-of-the-first', true);
         SELECT crewsnow_ops.restore_feature_flags(now(), 'reason of the first'); ROLLBACK"
            .to_owned(),
    ];
    let mut leaks = Vec::new();
    for (n, statements) in first.iter().enumerate() {
        let end = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
            WHERE usename = 'oncall'";
        value(&mut superuser, end);
        let mut alice = site.pooler.connect_as("oncall", "handover");
        let mut bob = site.pooler.connect_as("oncall", "handover");
        run(&mut alice, statements);
        let lent = value(&mut alice, "SELECT pg_backend_pid()");
        assert_eq!(value(&mut bob, "SELECT pg_backend_pid()"), lent, "both share a session");
        let is_on = n % 2 == 1;
        run(&mut bob, &format!("SELECT update_feature_flag('omega', {is_on}, NULL, 'bob')"));
        let change = newest_change(&mut superuser);
        assert!(change.contains("\"updated_by\": \"bob\""), "{change}");
        if change.contains("of the first") || change.contains("of-the-first") {
            leaks.push(format!("{statements}\n-> {change}"));
        }
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n\n"));
}
