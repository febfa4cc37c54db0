//! Rules of the security audit. Each rule finds every failing case of its file in rules/ and none
//! of the passing ones, also when a role without rights runs it. Its remediation removes the
//! finding.
//!
//! A file creates failing cases in the schema `bad` and passing ones in `good`. A comment on a
//! failing object starts with `leak` and the expected severity. Rules about objects outside a
//! schema list their findings instead: `-- expect: HIGH role x`. The rule about the server version
//! names the version to assume: `-- version: 150008`.

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
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .trim_end_matches(".sql")
                .to_owned()
        })
        .collect()
}

/// Parameters of every rule: client roles, identity functions, users tables, settings with claims,
/// exposed schemas and schemas of the platform.
const PARAMETERS: &str = "
    SELECT
        ARRAY(SELECT oid FROM pg_roles WHERE rolname IN ('anon', 'authenticated')),
        ARRAY(
            SELECT p.oid FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
            WHERE n.nspname = 'auth' AND p.proname IN ('uid', 'jwt', 'role', 'email')),
        ARRAY(
            SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = 'auth' AND c.relname = 'users'),
        ARRAY['request.jwt.claims'],
        ARRAY(
            SELECT n.oid FROM pg_namespace AS n
            WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND EXISTS (
                SELECT FROM pg_roles AS r
                WHERE r.rolname IN ('anon', 'authenticated')
                    AND has_schema_privilege(r.oid, n.oid, 'USAGE'))),
        ARRAY(SELECT oid FROM pg_namespace WHERE nspname IN ('auth', 'storage', 'realtime'))";

/// Rules of the audit itself, which tries rows, with their severities. They have sections, but no
/// file.
const TRIED_RULES: [(&str, &str); 2] =
    [("foreign-team-rows", "HIGH, MEDIUM"), ("self-written-membership", "CRITICAL, HIGH, MEDIUM")];

struct Finding {
    severity: String,
    object: String,
    address: (u32, u32),
    remediation: Option<String>,
}

/// Findings of a rule. Its statement runs read-only, as in the audit.
fn findings(client: &mut Client, rule: &str, statement: &str) -> Vec<Finding> {
    let parameters = client.query_one(PARAMETERS, &[]).expect("the parameters");
    let (clients, identity, users): (Vec<u32>, Vec<u32>, Vec<u32>) =
        (parameters.get(0), parameters.get(1), parameters.get(2));
    let (settings, schemas): (Vec<String>, Vec<u32>) = (parameters.get(3), parameters.get(4));
    let platform: Vec<u32> = parameters.get(5);
    let mut transaction =
        client.build_transaction().read_only(true).start().expect("a transaction");
    transaction
        .batch_execute("SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL jit = off")
        .expect("a search path");
    let types = [
        Type::OID_ARRAY,
        Type::OID_ARRAY,
        Type::OID_ARRAY,
        Type::TEXT_ARRAY,
        Type::OID_ARRAY,
        Type::OID_ARRAY,
    ];
    let statement = transaction
        .prepare_typed(statement, &types)
        .unwrap_or_else(|e| panic!("{rule}: {}", explain(&e)));
    let columns: Vec<_> = statement
        .columns()
        .iter()
        .map(|column| (column.name().to_owned(), column.type_().clone()))
        .collect();
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
    assert_eq!(
        columns,
        expected.map(|(name, kind)| (name.to_owned(), kind)),
        "{rule}: the columns of a rule"
    );
    let found = transaction
        .query(&statement, &[&clients, &identity, &users, &settings, &schemas, &platform])
        .unwrap_or_else(|e| panic!("{rule}: {}", explain(&e)));
    let found = found.iter().map(|row| {
        let (severity, confidence): (String, String) = (row.get(0), row.get(1));
        assert!(
            ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"].contains(&severity.as_str()),
            "{rule}: {severity}"
        );
        assert!(["PROVED", "SUSPECTED"].contains(&confidence.as_str()), "{rule}: {confidence}");
        let (detail, evidence): (&str, &str) = (row.get(6), row.get(7));
        assert!(
            !detail.is_empty() && !evidence.is_empty(),
            "{rule}: detail and evidence are not empty"
        );
        let address =
            (row.get::<_, Option<u32>>(3).unwrap_or(0), row.get::<_, Option<u32>>(4).unwrap_or(0));
        Finding { severity, object: row.get(2), address, remediation: row.get(8) }
    });
    found.collect()
}

/// Expected findings: severity and address of each object whose comment starts with `leak`.
fn expected_findings(client: &mut Client) -> BTreeSet<(String, (u32, u32))> {
    let marked = client
        .query(
            "SELECT split_part(split_part(description, ' ', 2), ':', 1), classoid, objoid
             FROM pg_description WHERE description LIKE 'leak %'",
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
        statement =
            statement.replace("current_setting('server_version_num')", &format!("'{version}'"));
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
    // `expect` lines list all findings of the rule. Without them, the comments on objects do.
    if expected.is_empty() {
        let addresses: BTreeSet<_> =
            found.iter().map(|finding| (finding.severity.clone(), finding.address)).collect();
        let wanted = expected_findings(&mut client);
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
    let mut auditor = cluster.connect_as("auditor", "rule");
    let seen = findings(&mut auditor, rule, &statement);
    if describe(&seen) != describe(&found) {
        return Err(format!("{rule}: a role without rights sees {:?}", describe(&seen)));
    }
    // The auditor may not run any remediation, so each must name the role that may.
    if let Some(finding) =
        seen.iter().find(|f| f.remediation.as_ref().is_some_and(|sql| !sql.starts_with("-- as ")))
    {
        return Err(format!(
            "{rule}: the remediation of {} does not name the role that may run it",
            finding.object
        ));
    }
    drop(auditor);
    for finding in &found {
        if let Some(remediation) = &finding.remediation
            && let Err(error) = client.batch_execute(remediation)
        {
            return Err(format!("{rule}: {remediation}\n{}", explain(&error)));
        }
    }
    let remaining = findings(&mut client, rule, &statement);
    for finding in found.iter().filter(|finding| finding.remediation.is_some()) {
        if remaining.iter().any(|r| r.object == finding.object && r.severity == finding.severity) {
            return Err(format!(
                "{rule}: the remediation of {} does not remove the finding",
                finding.object
            ));
        }
    }
    Ok(())
}

/// Runs every rule, and every remediation, on a database whose names need quoting everywhere.
fn hostile_names(cluster: &Cluster) {
    run(&mut cluster.connect("postgres"), "CREATE DATABASE rule TEMPLATE rls_base");
    let mut client = cluster.connect("rule");
    run(&mut client, &source(&format!("tests/rls/{}", "hostile.sql")));
    let mut tried = 0;
    for rule in names("sql/rls/rules") {
        for finding in findings(&mut client, &rule, &source(&format!("sql/rls/rules/{rule}.sql"))) {
            // CREATE INDEX CONCURRENTLY cannot run in a transaction.
            if let Some(remediation) =
                finding.remediation.filter(|sql| !sql.contains("CONCURRENTLY"))
            {
                run(&mut client, &format!("BEGIN;\n{remediation}\n;ROLLBACK"));
                tried += 1;
            }
        }
    }
    assert!(tried > 14, "findings: {tried}");
    drop(client);
    clean_up(cluster);
}

/// Drops the database of a file, and the roles and role settings that the file left behind.
fn clean_up(cluster: &Cluster) {
    let mut client = cluster.connect("postgres");
    run(&mut client, "DROP DATABASE rule WITH (FORCE)");
    let roles = rows(
        &mut client,
        "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname !~ '^pg_' AND rolname NOT IN
         ('postgres', 'anon', 'authenticated', 'service_role', 'authenticator', 'auditor')",
    );
    for role in ["anon", "authenticated", "authenticator"] {
        run(
            &mut client,
            &format!(
                "ALTER ROLE {role} NOINHERIT NOSUPERUSER NOBYPASSRLS; ALTER ROLE {role} RESET ALL"
            ),
        );
    }
    for role in roles {
        run(&mut client, &format!("DROP ROLE {role}"));
    }
}

// passes before: the cases of each rule are compared one by one
#[test]
fn every_rule_finds_its_failing_cases_and_no_others() {
    let rules = names("sql/rls/rules");
    let named = harness::named_scripts();
    if named.is_none() {
        assert_eq!(rules, names("tests/rls/rules"), "each rule has its test");
    }
    let cluster = Cluster::start("rls", "");
    let mut base = cluster.create_database("rls_base");
    run(&mut base, &source("tests/rls/base.sql"));
    run(
        &mut base,
        "GRANT USAGE ON SCHEMA crewsnow_ops TO auditor;
         GRANT EXECUTE
         ON FUNCTION crewsnow_ops.rls_policy_facts(), crewsnow_ops.rls_owner_columns() TO auditor",
    );
    drop(base);
    if named.is_none() {
        hostile_names(&cluster);
    }
    let mut failures = Vec::new();
    for rule in &named.unwrap_or_else(|| rules.into_iter().collect()) {
        if let Err(failure) = check(&cluster, rule) {
            failures.push(failure);
        }
        clean_up(&cluster);
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// The demo application has no finding above INFO. With its leaks, the rules find those that the
/// catalog shows. Leaks 3 and 7 need the probes of the audit.
#[test]
fn the_demo_is_clean_and_its_leaks_are_found() {
    let cluster = Cluster::start("rls_demo", "");
    let mut found = [false, true].map(|leaks| {
        let mut client = cluster.create_demo(if leaks { "leaks" } else { "clean" }, leaks);
        let rules = names("sql/rls/rules")
            .into_iter()
            .map(|rule| (source(&format!("sql/rls/rules/{rule}.sql")), rule));
        let found = rules.flat_map(|(statement, rule)| {
            let found = findings(&mut client, &rule, &statement)
                .into_iter()
                .filter(|finding| finding.severity != "INFO");
            found.map(|f| format!("{rule}: {} {}", f.severity, f.object)).collect::<Vec<_>>()
        });
        found.collect::<BTreeSet<_>>()
    });
    // The release of PostgreSQL is not part of the demo.
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
    let registry = source("src/rls/rules/mod.rs");
    let rules = names("sql/rls/rules");
    for rule in &rules {
        assert!(registry.contains(&format!("    \"{rule}\"\n")), "{rule} is not in the rule list");
        let statement = source(&format!("sql/rls/rules/{rule}.sql"));
        let comment = statement.lines().take_while(|line| line.starts_with("-- ")).count();
        assert!((1..=4).contains(&comment), "{rule} starts with one to four lines of comment");
    }
    let page = source("docs/rls-rules.md");
    let sections: Vec<_> =
        page.split("\n## ").skip(1).filter_map(|section| section.split_once('\n')).collect();
    let mut documented = rules;
    documented.extend(TRIED_RULES.map(|(rule, _)| rule.to_owned()));
    assert!(
        sections.iter().map(|(rule, _)| *rule).eq(&documented),
        "one section per rule, in order"
    );
    // Each section has the same shape.
    let parts = [
        "```sql\n",
        "**Found when** ",
        "**Correct as it is",
        "**Remediation** ",
        "**Splinter lint:** ",
    ];
    for (rule, section) in sections {
        let places: Vec<_> = parts.iter().map(|part| section.find(part)).collect();
        assert!(places.iter().all(Option::is_some), "{rule}: {parts:?} are at {places:?}");
        assert!(places.is_sorted(), "{rule}: {parts:?} are in this order");
    }
}

/// One row per rule: a link to its section, the severities in its statement, the worst first, and
/// at most 12 words.
#[test]
fn the_table_of_rules_lists_every_rule_and_its_severities() {
    let page = source("docs/rls-rules.md");
    let rows = page.lines().filter(|line| line.starts_with("| ["));
    let listed: Vec<Vec<_>> =
        rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect();
    let of_files = names("sql/rls/rules").into_iter().map(|rule| {
        let statement = source(&format!("sql/rls/rules/{rule}.sql"));
        let mut severities = vec!["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"];
        severities.retain(|severity| statement.contains(&format!("'{severity}'")));
        (rule, severities.join(", "))
    });
    let tried = TRIED_RULES.map(|(rule, severities)| (rule.to_owned(), severities.to_owned()));
    let expected: BTreeSet<_> = of_files.chain(tried).collect();
    let expected =
        expected.into_iter().map(|(rule, severities)| (format!("[{rule}](#{rule})"), severities));
    let rules: Vec<_> = listed.iter().map(|row| (row[0].to_owned(), row[1].to_owned())).collect();
    assert_eq!(rules, expected.collect::<Vec<_>>());
    for row in listed {
        assert!((1..=12).contains(&row[2].split_whitespace().count()), "{}: {}", row[0], row[2]);
    }
}
