//! The rules of the security audit: each finds every failing case of its file in rules/ and none of the passing ones, also for a role
//! with no rights, and what it proposes closes what it found.
//!
//! A file makes failing cases in the schema `bad`, with a comment that begins with `leak` and the severity, and passing ones in `good`.
//! Rules of things without a schema say what they find in comments: `-- expect: HIGH role x`, and one that looks at the server's version
//! which one to take it for: `-- version: 150008`.

use harness::{Cluster, explain, root, rows, run, value};
use postgres::{Client, types::Type};
use std::collections::BTreeSet;
use std::fs;

fn source(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn names(directory: &str) -> BTreeSet<String> {
    fs::read_dir(root().join(directory))
        .unwrap_or_else(|e| panic!("{directory}: {e}"))
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().trim_end_matches(".sql").to_owned())
        .collect()
}

/// Who and what the rules are about: client roles, identity functions, users tables, settings with claims, exposed schemas.
const PARAMETERS: &str = "
    SELECT
        ARRAY(SELECT oid FROM pg_roles WHERE rolname IN ('anon', 'authenticated')),
        ARRAY(SELECT p.oid FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = 'auth' AND p.proname IN ('uid', 'jwt', 'role', 'email')),
        ARRAY(SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = 'auth' AND c.relname = 'users'),
        ARRAY['request.jwt.claims'],
        ARRAY(SELECT n.oid FROM pg_namespace AS n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND EXISTS (
            SELECT FROM pg_roles AS r WHERE r.rolname IN ('anon', 'authenticated') AND has_schema_privilege(r.oid, n.oid, 'USAGE')))";

struct Finding {
    severity: String,
    object: String,
    address: (u32, u32),
    remediation: Option<String>,
}

/// What a rule finds: the rule's own statement, read-only, as the audit runs it.
fn findings(client: &mut Client, rule: &str, statement: &str) -> Vec<Finding> {
    let parameters = client.query_one(PARAMETERS, &[]).expect("the parameters");
    let (clients, identity, users): (Vec<u32>, Vec<u32>, Vec<u32>) =
        (parameters.get(0), parameters.get(1), parameters.get(2));
    let (settings, schemas): (Vec<String>, Vec<u32>) = (parameters.get(3), parameters.get(4));
    let mut transaction = client.build_transaction().read_only(true).start().expect("a transaction");
    transaction
        .batch_execute("SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL jit = off")
        .expect("a search path");
    let types = [Type::OID_ARRAY, Type::OID_ARRAY, Type::OID_ARRAY, Type::TEXT_ARRAY, Type::OID_ARRAY];
    let statement = transaction.prepare_typed(statement, &types).unwrap_or_else(|e| panic!("{rule}: {}", explain(&e)));
    let columns: Vec<_> =
        statement.columns().iter().map(|column| (column.name().to_owned(), column.type_().clone())).collect();
    let expected = [
        ("severity", Type::TEXT),
        ("confidence", Type::TEXT),
        ("object", Type::TEXT),
        ("classid", Type::OID),
        ("objid", Type::OID),
        ("relation", Type::OID),
        ("detail", Type::TEXT),
        ("evidence", Type::TEXT),
        ("remediation", Type::TEXT),
        ("cache_key", Type::TEXT),
    ];
    assert_eq!(columns, expected.map(|(name, kind)| (name.to_owned(), kind)), "{rule}: the columns of a rule");
    let found = transaction
        .query(&statement, &[&clients, &identity, &users, &settings, &schemas])
        .unwrap_or_else(|e| panic!("{rule}: {}", explain(&e)));
    let found = found.iter().map(|row| {
        let (severity, confidence): (String, String) = (row.get(0), row.get(1));
        assert!(["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"].contains(&severity.as_str()), "{rule}: {severity}");
        assert!(["PROVED", "SUSPECTED"].contains(&confidence.as_str()), "{rule}: {confidence}");
        let (detail, evidence): (&str, &str) = (row.get(6), row.get(7));
        assert!(!detail.is_empty() && !evidence.is_empty(), "{rule}: says why");
        let address = (row.get::<_, Option<u32>>(3).unwrap_or(0), row.get::<_, Option<u32>>(4).unwrap_or(0));
        Finding { severity, object: row.get(2), address, remediation: row.get(8) }
    });
    found.collect()
}

/// Which failing and passing cases a rule should tell apart: the objects with a comment, by address, with their severities.
fn marked(client: &mut Client) -> BTreeSet<(String, (u32, u32))> {
    let marked = client
        .query(
            "SELECT split_part(split_part(description, ' ', 2), ':', 1), classoid, objoid FROM pg_description WHERE description LIKE 'leak %'",
            &[],
        )
        .expect("the comments");
    marked.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}

fn describe(found: &[Finding]) -> Vec<String> {
    found.iter().map(|finding| format!("{} {}", finding.severity, finding.object)).collect()
}

fn check(cluster: &Cluster, rule: &str) -> Result<(), String> {
    let mut statement = source(&format!("sql/rls/rules/{rule}.sql"));
    let script = source(&format!("tests/rls/rules/{rule}.sql"));
    if let Some(version) = script.lines().find_map(|line| line.strip_prefix("-- version: ")) {
        statement = statement.replace("current_setting('server_version_num')", &format!("'{version}'"));
    }
    let expected: BTreeSet<_> = script
        .lines()
        .filter_map(|line| line.strip_prefix("-- expect: "))
        .flat_map(|line| line.split(" | "))
        .map(str::to_owned)
        .collect();
    run(&mut cluster.connect("postgres"), "CREATE DATABASE rule TEMPLATE rls_base");
    let mut client = cluster.connect("rule");
    client.batch_execute(&script).map_err(|e| format!("{rule}: its test: {}", explain(&e)))?;
    let found = findings(&mut client, rule, &statement);
    // Extensions and the base itself have findings of their own; a rule with expectations is about these alone.
    if expected.is_empty() {
        let addresses: BTreeSet<_> = found.iter().map(|finding| (finding.severity.clone(), finding.address)).collect();
        let wanted = marked(&mut client);
        let missed: Vec<_> = wanted
            .difference(&addresses)
            .map(|(severity, (class, object))| {
                format!(
                    "{severity} {}",
                    value(&mut client, &format!("SELECT pg_describe_object({class}, {object}, 0)"))
                )
            })
            .collect();
        let false_alarms: Vec<_> = describe(&found)
            .into_iter()
            .zip(&found)
            .filter(|(_, f)| !wanted.contains(&(f.severity.clone(), f.address)))
            .map(|(text, _)| text)
            .collect();
        if !missed.is_empty() || !false_alarms.is_empty() || found.len() != wanted.len() {
            return Err(format!(
                "{rule}: missed {missed:?}, false alarms {false_alarms:?}, {} rows for {}",
                found.len(),
                wanted.len()
            ));
        }
    } else {
        let found: BTreeSet<_> = describe(&found).into_iter().collect();
        let expected: BTreeSet<_> = expected.into_iter().filter(|text| text != "nothing").collect();
        if found != expected {
            return Err(format!("{rule}: found {found:?}"));
        }
    }
    let mut poor = cluster.connect_as("auditor", "rule");
    let seen = findings(&mut poor, rule, &statement);
    if describe(&seen) != describe(&found) {
        return Err(format!("{rule}: a role without rights sees {:?}", describe(&seen)));
    }
    // Who may not run it is told who may.
    if let Some(finding) = seen.iter().find(|f| f.remediation.as_ref().is_some_and(|sql| !sql.starts_with("-- as "))) {
        return Err(format!("{rule}: the remediation of {} does not say who may run it", finding.object));
    }
    drop(poor);
    for finding in &found {
        if let Some(remediation) = &finding.remediation
            && let Err(error) = client.batch_execute(remediation)
        {
            return Err(format!("{rule}: {remediation}\n{}", explain(&error)));
        }
    }
    let left = findings(&mut client, rule, &statement);
    for finding in found.iter().filter(|finding| finding.remediation.is_some()) {
        if left.iter().any(|l| l.object == finding.object && l.severity == finding.severity) {
            return Err(format!("{rule}: the remediation of {} leaves it as it was", finding.object));
        }
    }
    Ok(())
}

/// Every rule on a database of strange names; every remediation is tried.
fn hostile_names(cluster: &Cluster) {
    run(&mut cluster.connect("postgres"), "CREATE DATABASE rule TEMPLATE rls_base");
    let mut client = cluster.connect("rule");
    run(&mut client, &source(&format!("tests/rls/{}", "hostile.sql")));
    let mut tried = 0;
    for rule in names("sql/rls/rules") {
        for finding in findings(&mut client, &rule, &source(&format!("sql/rls/rules/{rule}.sql"))) {
            // An index that is built concurrently cannot be taken back.
            if let Some(remediation) = finding.remediation.filter(|sql| !sql.contains("CONCURRENTLY")) {
                run(&mut client, &format!("BEGIN;\n{remediation}\n;ROLLBACK"));
                tried += 1;
            }
        }
    }
    assert!(tried > 15, "findings: {tried}");
    drop(client);
    clean_up(cluster);
}

/// Drops what a file made outside its database.
fn clean_up(cluster: &Cluster) {
    let mut client = cluster.connect("postgres");
    run(&mut client, "DROP DATABASE rule WITH (FORCE)");
    let roles = rows(
        &mut client,
        "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname !~ '^pg_'
         AND rolname NOT IN ('postgres', 'anon', 'authenticated', 'service_role', 'authenticator', 'auditor')",
    );
    for role in ["anon", "authenticated", "authenticator"] {
        run(&mut client, &format!("ALTER ROLE {role} NOINHERIT NOSUPERUSER NOBYPASSRLS; ALTER ROLE {role} RESET ALL"));
    }
    for role in roles {
        run(&mut client, &format!("DROP ROLE {role}"));
    }
}

#[test]
fn every_rule_tells_leaks_from_look_alikes() {
    let rules = names("sql/rls/rules");
    assert_eq!(rules, names("tests/rls/rules"), "each rule has its test");
    let cluster = Cluster::start("rls", "");
    let mut base = cluster.create_database("rls_base");
    run(&mut base, &source("tests/rls/base.sql"));
    run(
        &mut base,
        "GRANT USAGE ON SCHEMA crewsnow_ops TO auditor;
         GRANT EXECUTE ON FUNCTION crewsnow_ops.rls_policy_facts(), crewsnow_ops.rls_owner_columns() TO auditor",
    );
    drop(base);
    hostile_names(&cluster);
    let mut failures = Vec::new();
    for rule in &rules {
        if let Err(failure) = check(&cluster, rule) {
            failures.push(failure);
        }
        clean_up(&cluster);
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// The demo application has nothing above INFO; with its leaks, those that the catalog shows are found (3 and 7 are for who asks the server).
#[test]
fn the_demo_is_clean_and_its_leaks_are_found() {
    let cluster = Cluster::start("rls_demo", "");
    let mut found = [false, true].map(|leaks| {
        let mut client = cluster.create_demo(if leaks { "leaks" } else { "clean" }, leaks);
        let rules = names("sql/rls/rules").into_iter().map(|rule| (source(&format!("sql/rls/rules/{rule}.sql")), rule));
        let found = rules.flat_map(|(statement, rule)| {
            let found =
                findings(&mut client, &rule, &statement).into_iter().filter(|finding| finding.severity != "INFO");
            found.map(|f| format!("{rule}: {} {}", f.severity, f.object)).collect::<Vec<_>>()
        });
        found.collect::<BTreeSet<_>>()
    });
    // Releases of PostgreSQL are not the demo's fault.
    found.iter_mut().for_each(|found| found.retain(|text| !text.starts_with("server-cve")));
    assert_eq!(found[0], BTreeSet::new());
    let leaks = [
        "rls-off: CRITICAL table public.crash_reports",
        "policy-name-lies: CRITICAL policy \"Service role full access\" on public.stripe_events",
        "definer-view: CRITICAL view public.member_directory",
        "exposed-users: CRITICAL view public.member_directory",
        "definer-function: HIGH function public.get_account(uuid)",
        "mutable-search-path: MEDIUM function public.get_account(uuid)",
        "user-metadata: CRITICAL policy \"Admins can view traffic\" on public.edge_function_calls",
        "per-row-identity: LOW policy \"Rides are private\" on public.ride_stats_daily",
        "partition-without-rls: CRITICAL table public.ride_points_old",
        "partition-without-rls: CRITICAL table public.ride_points_recent",
    ];
    assert_eq!(found[1], leaks.map(str::to_owned).into());
}

#[test]
fn every_rule_is_run_and_documented() {
    let registry = source("src/rls/rules.rs");
    for rule in names("sql/rls/rules") {
        assert!(registry.contains(&format!("    \"{rule}\"\n")), "{rule} is not among the rules");
    }
    let page = source("docs/rls-rules.md");
    let sections: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    assert_eq!(names("sql/rls/rules"), sections);
    for rule in names("sql/rls/rules") {
        let statement = source(&format!("sql/rls/rules/{rule}.sql"));
        let comment = statement.lines().take_while(|line| line.starts_with("-- ")).count();
        assert!((1..=4).contains(&comment), "{rule} begins with one to four lines that say what it is about");
    }
}
