//! The demo application is what it says it is: as large, as safe and as much in trouble.

use harness::{Cluster, rows, run, sqlstate, value};
use std::time::{Duration, Instant};

#[test]
fn the_demo() {
    let cluster = Cluster::start("demo", "");
    let began = Instant::now();
    let mut a = cluster.create_demo("crewsnow", false);
    assert!(began.elapsed() < Duration::from_secs(60), "it loads in under a minute: {:?}", began.elapsed());
    assert_eq!(value(&mut a, "SELECT count(*) FROM auth.users"), "5000");
    assert_eq!(value(&mut a, "SELECT count(*) FROM users"), "5000");
    assert_eq!(value(&mut a, "SELECT count(*) FROM messages"), "200000");
    let empty = rows(
        &mut a,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
         AND relname <> 'feature_flags' AND reltuples <= 0",
    );
    assert!(empty.is_empty(), "tables without rows: {empty:?}");
    policies(&cluster);
    incident(&cluster);
    user_context_is_in_step(&cluster);
    let mut b = cluster.create_demo("again", true);
    the_same_again(&mut a, &mut b);
    leaks(&mut b);
}

fn policies(cluster: &Cluster) {
    let mut a = cluster.connect("crewsnow");
    let open = rows(
        &mut a,
        "SELECT relname FROM pg_class AS c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relrowsecurity
         AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')",
    );
    assert!(open.is_empty(), "tables without row-level security: {open:?}");
    let (user, other) = ("SELECT sender_id FROM messages GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1", "OFFSET 500");
    let (user, other) = (value(&mut a, user), value(&mut a, &format!("{user} {other}")));
    let mine = format!(
        "SELECT count(*) FROM messages JOIN matches ON matches.id = match_id WHERE '{user}' IN (user1_id, user2_id)"
    );
    let mine = value(&mut a, &mine);
    run(
        &mut a,
        &format!(
            "SET ROLE authenticated; SET request.jwt.claims = '{{\"sub\": \"{user}\", \"role\": \"authenticated\"}}'"
        ),
    );
    assert_eq!(value(&mut a, "SELECT auth.uid()"), user);
    assert_eq!(value(&mut a, "SELECT auth.role()"), "authenticated");
    assert_eq!(value(&mut a, "SELECT count(*) FROM messages"), mine, "a user reads the messages of their own matches");
    assert_ne!(mine, "0");
    assert_eq!(value(&mut a, &format!("SELECT count(*) FROM consents WHERE user_id = '{other}'")), "0");
    assert_eq!(
        sqlstate(
            &mut a,
            &format!(
                "INSERT INTO messages (match_id, sender_id, content) SELECT id, '{other}', 'x' FROM matches LIMIT 1"
            )
        ),
        "42501"
    );
    run(&mut a, "RESET ROLE; SET ROLE anon; SET request.jwt.claims = '{\"role\": \"anon\"}'");
    assert_ne!(value(&mut a, "SELECT count(*) FROM stations"), "0");
    for table in ["users", "messages", "stripe_events", "edge_function_calls", "feature_flags"] {
        assert_eq!(sqlstate(&mut a, &format!("SELECT count(*) FROM {table}")), "42501", "{table}");
    }
}

fn incident(cluster: &Cluster) {
    let mut a = cluster.connect("crewsnow");
    let failing = "SELECT function_name FROM edge_function_calls WHERE created_at > now() - interval '20 minutes'
        GROUP BY 1 HAVING avg((status_code >= 500)::int) > 0.05 ORDER BY 1";
    assert_eq!(rows(&mut a, failing), ["create-checkout", "stripe-webhook"]);
    let slow = "SELECT bool_and(p95 > 5000) FROM (
        SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY execution_time_ms) AS p95 FROM edge_function_calls
        WHERE function_name IN ('create-checkout', 'stripe-webhook')
            AND created_at BETWEEN now() - interval '22 minutes' AND now() - interval '12 minutes' GROUP BY function_name) AS f";
    assert_eq!(value(&mut a, slow), "t");
    let failed = "SELECT avg((status = 'failed')::int) > 0.05 FROM stripe_events WHERE received_at > now() - interval '10 minutes'";
    assert_eq!(value(&mut a, failed), "t");
    let calm = "SELECT avg((status_code >= 500)::int) < 0.02 FROM edge_function_calls WHERE created_at < now() - interval '30 minutes'";
    assert_eq!(value(&mut a, calm), "t", "before it, all was well");
    let hour = "SELECT max(created_at) <= now() AND max(created_at) > now() - interval '10 minutes'
        AND min(created_at) > now() - interval '70 minutes' FROM edge_function_calls";
    assert_eq!(value(&mut a, hour), "t", "an hour of traffic, ending now");
}

fn user_context_is_in_step(cluster: &Cluster) {
    let mut a = cluster.connect("crewsnow");
    let drift = "SELECT count(*) FROM users AS u FULL JOIN crewsnow_ops.user_context AS c ON c.user_id = u.id
        WHERE u.id IS NULL OR c.user_id IS NULL OR c.is_premium IS DISTINCT FROM
            EXISTS (SELECT FROM subscriptions AS s WHERE s.user_id = u.id AND s.status IN ('active', 'trialing'))";
    assert_eq!(value(&mut a, drift), "0");
    run(&mut a, "BEGIN; UPDATE subscriptions SET status = 'canceled'");
    assert_eq!(value(&mut a, drift), "0");
    assert_eq!(value(&mut a, "SELECT bool_or(is_premium) FROM crewsnow_ops.user_context"), "f");
    run(&mut a, "ROLLBACK");
}

fn the_same_again(a: &mut postgres::Client, b: &mut postgres::Client) {
    let content = "SELECT md5(string_agg(concat_ws('|', id, sender_id, content), ',' ORDER BY id)) FROM messages";
    assert_eq!(value(a, content), value(b, content));
    let people = "SELECT md5(string_agg(concat_ws('|', id, display_name, region), ',' ORDER BY id)) FROM users";
    assert_eq!(value(a, people), value(b, people));
}

fn leaks(b: &mut postgres::Client) {
    run(b, "SET ROLE anon; SET request.jwt.claims = '{\"role\": \"anon\"}'");
    for table in ["crash_reports", "stripe_events", "ride_stats_daily"] {
        assert_ne!(value(b, &format!("SELECT count(*) FROM {table}")), "0", "anon reads {table}");
    }
    run(b, "RESET ROLE");
}
