//! The audit asks each table as everybody who can ask: every role that policies name or that the
//! login role of requests can become, with and without claims, with a second factor, and with the
//! claims of a token hook.

use crate::rls_hostile::supabase;
use harness::{Cluster, rows, run, value};

/// Whether a cell, such as `read-leak as a new account LEAK`, matches an expectation, in which `%`
/// stands for any text.
fn matches(cell: &str, expected: &str) -> bool {
    match expected.split_once('%') {
        Some((head, tail)) => cell.starts_with(head) && cell.ends_with(tail),
        None => cell == expected,
    }
}

#[test]
fn each_identity_gets_the_verdict_that_its_sessions_would_get() {
    let cluster = Cluster::start("rls_identities", "");
    let mut a = supabase(&cluster, "identities");
    run(&mut a, include_str!("rls_identities.sql"));
    let mut a = cluster.connect("identities");
    let tables = rows(
        &mut a,
        "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
         AND obj_description(oid, 'pg_class') ~ '^-?(read-leak|tampering) ' ORDER BY 1",
    );
    assert!(tables.len() > 20, "{tables:?}");
    // Settings that an audit has set stay known in its session.
    let numbered = "SELECT string_agg(DISTINCT verdict, ' ' ORDER BY verdict)
        FROM crewsnow_ops.rls_matrix()
        WHERE relation ~ 'by_number' AND identity = 'authenticated as a new account'";
    assert_eq!(value(&mut a, numbered), "CLOSED");
    assert_eq!(value(&mut a, numbered), "INCONCLUSIVE");
    let mut wrong = Vec::new();
    for table in tables {
        let (name, expected) = table.split_once('|').expect("a name and the expected cells");
        let cells = rows(
            &mut a,
            &format!(
                "SELECT reach || ' ' || substr(identity, length(role) + 2) || ' ' || verdict
                 FROM crewsnow_ops.rls_matrix('public.{name}')
                 WHERE role <> 'anon' AND reach IN ('read-leak', 'destruction', 'tampering')
                 AND (role = 'authenticated' OR '{name}' ~ role)"
            ),
        );
        for expected in expected.split("; ") {
            let is_met = match expected.strip_prefix('-') {
                Some(absent) => !cells.iter().any(|cell| matches(cell, absent)),
                None => cells.iter().any(|cell| matches(cell, expected)),
            };
            if !is_met {
                wrong.push(format!("{name}: {expected:?}: {cells:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A leak to sessions of a role is HIGH and names the role.
    let found = rows(
        &mut a,
        "SELECT severity, detail FROM crewsnow_ops.audit_rls() \
         WHERE rule = 'read-leak' AND object LIKE '% on public.for_webapp'",
    );
    assert_eq!(
        found,
        ["HIGH|On public.for_webapp any session of webapp can read rows of other users: \
          policy \"p\" allows it."]
    );
    // A missing privilege that alone prevents a leak is LOW.
    let latent = rows(
        &mut a,
        "SELECT severity, object, detail FROM crewsnow_ops.audit_rls() WHERE rule = 'latent-leak'",
    );
    assert_eq!(
        latent,
        ["LOW|table public.ungranted|The policies of public.ungranted would let authenticated \
             read rows of other users. Only the missing privileges prevent it."]
    );
    // Values of rows do not appear in labels; those of policies do.
    let labels = value(
        &mut a,
        "SELECT string_agg(DISTINCT identity, '; ') FROM crewsnow_ops.rls_matrix('public.tenant')",
    );
    assert!(labels.contains("org of row 1") && !labels.contains("org = "), "{labels}");
}
