//! Definer functions are called where they can be. The audit then says what real sessions see.

use crate::rls_hostile::supabase;
use harness::{Cluster, rows, run, value};
use postgres::Client;

/// The functions with their comments: name, expected finding, truth and call.
const FUNCTIONS: &str = "SELECT proname, split_part(d, ' ', 1) || '|' || split_part(d, ' ', 2),
        split_part(d, ' ', 3), regexp_replace(d, '^\\S+ \\S+( \\S+)?\\s*', '')
    FROM pg_proc, regexp_replace(obj_description(oid, 'pg_proc'), '\\s+', ' ', 'g') AS d
    WHERE pronamespace = 'public'::regnamespace AND d ~ '^[A-Z]+ (OBSERVED|SUSPECTED)' ORDER BY 1";

/// The number of results of a call as an account that owns nothing; an error is none.
fn results_of_a_stranger(client: &mut Client, call: &str) -> i64 {
    run(client, "BEGIN");
    run(
        client,
        "SET LOCAL ROLE authenticated; SET LOCAL request.jwt.claims = '{\"role\": \
         \"authenticated\", \"sub\": \"00000000-0000-4000-8000-0000000000ff\"}'",
    );
    let sql = format!(
        "SELECT count(*) FROM {call} AS r
         WHERE coalesce(to_jsonb(r), 'null') NOT IN ('null', 'false')
         AND jsonb_strip_nulls(to_jsonb(r)) <> '{{}}'"
    );
    let found = client.query_one(&sql, &[]).map_or(0, |row| row.get(0));
    run(client, "ROLLBACK");
    found
}

#[test]
fn findings_about_definer_functions_match_real_sessions() {
    let cluster = Cluster::start("rls_definer", "");
    let mut a = supabase(&cluster, "definer");
    run(&mut a, include_str!("rls_definer.sql"));
    let functions = rows(&mut a, FUNCTIONS);
    assert!(functions.len() > 20, "{functions:?}");
    let mut wrong = Vec::new();
    for function in &functions {
        let parts: Vec<&str> = function.splitn(5, '|').collect();
        let (name, expected) = (parts[0], format!("{}|{}", parts[1], parts[2]));
        let found = rows(
            &mut a,
            &format!(
                "SELECT severity, confidence, detail, evidence FROM crewsnow_ops.audit_rls()
                 WHERE rule = 'definer-function' AND object ~ ' public.{name}\\('"
            ),
        );
        if found.len() != 1 || !found[0].starts_with(&format!("{expected}|")) {
            wrong.push(format!("{name}: {expected} is expected, not {found:?}"));
        }
        if !parts[4].is_empty() {
            let results = results_of_a_stranger(&mut a, parts[4]);
            if (results > 0) != (parts[3] == "leak") {
                wrong.push(format!("{name}: a session gets {results} results"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(value(&mut a, "SELECT current_setting('role')"), "none");
    // Suspected ones count as failed, and nothing of a row is shown.
    let report = value(&mut a, "SELECT run_day1_database_security_audit()");
    assert!(!report.contains("00000000-0000-4000-8000"), "{report}");
    assert!(report.contains("HIGH SUSPECTED function public.letter_slowly(integer)"), "{report}");
}
