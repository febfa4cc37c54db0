//! Remediations never widen a reach. Real sessions try each row before and after each of them.

use crate::rls_hostile::supabase;
use harness::{Cluster, REACH, rows, run, value};
use postgres::Client;
use std::collections::BTreeSet;

/// Findings of rules about a reach.
const FOUND: &str = "SELECT finding FROM crewsnow_ops.audit_rls() \
    WHERE rule ~ '-(leak|over|rows|insert|update|delete|off)$' \
        OR rule IN ('tampering', 'destruction')";

/// The reach of some requests on all tables: user, table, command and row.
fn reach(a: &mut Client) -> BTreeSet<String> {
    let sql = "SELECT concat_ws(' ', coalesce(w.id, 'anon'), t.name, r.line)
        FROM truth.tables() AS t
        CROSS JOIN (
            SELECT 'anon' AS role, NULL AS id
            UNION ALL
            SELECT 'authenticated', '00000000-0000-4000-8000-00000000000' || n
            FROM unnest(ARRAY[1, 2, 4, 5, 8]) AS n
        ) AS w
        CROSS JOIN LATERAL truth.reach(t.name, w.role,
            json_build_object('sub', w.id, 'role', w.role)::text, t.owners,
            'touched = false', '00000000-0000-4000-8000-000000000004') AS r (line)";
    rows(a, sql).into_iter().collect()
}

/// Lines that owners must keep: each reads, changes and deletes rows of their own.
fn of_owners(reach: &BTreeSet<String>, a: &mut Client) -> BTreeSet<String> {
    let owned: BTreeSet<String> =
        rows(a, "SELECT truth.own(t.name) FROM truth.tables() AS t WHERE t.owners <> '{}'")
            .into_iter()
            .collect();
    reach.intersection(&owned).cloned().collect()
}

#[test]
fn no_remediation_widens_a_reach() {
    let cluster = Cluster::start("rls_advice", "");
    let mut a = supabase(&cluster, "advice");
    run(
        &mut a,
        "INSERT INTO auth.users (id) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid
             FROM generate_series(1, 7) AS n",
    );
    run(&mut a, REACH);
    run(&mut a, include_str!("rls_advice.sql"));
    let before = reach(&mut a);
    assert!(before.len() > 400, "{}", before.len());
    let owned = of_owners(&before, &mut a);
    assert!(owned.len() > 100, "{owned:?}");
    let printed = remediations(&mut a);
    the_expected_remediations_are_printed(&mut a);
    // Several findings share a script.
    let mut tried: Vec<&String> = Vec::new();
    for (finding, script) in &printed {
        if tried.contains(&script) {
            continue;
        }
        tried.push(script);
        run(&mut a, "BEGIN");
        run(&mut a, script);
        narrows(&mut a, &before, &owned, finding);
        let left = rows(&mut a, FOUND);
        for (finding, _) in printed.iter().filter(|(_, other)| other == script) {
            assert!(!left.contains(finding), "{finding} is still found after\n{script}");
        }
        run(&mut a, "ROLLBACK");
    }
    proofs_tell_what_a_remediation_takes(&mut a);
    // One after the other, as an operator pastes them.
    for script in tried {
        run(&mut a, script);
        narrows(&mut a, &before, &owned, script);
    }
    let left: Vec<String> = rows(&mut a, FOUND);
    assert!(printed.iter().all(|(finding, _)| !left.contains(finding)), "{left:#?}");
}

/// The printed remediations, worst finding first.
fn remediations(a: &mut Client) -> Vec<(String, String)> {
    let sql = format!(
        "SELECT finding, remediation FROM crewsnow_ops.audit_rls() \
         WHERE remediation IS NOT NULL AND (finding IN ({FOUND}) OR rule = 'per-row-identity')"
    );
    let found = a.query(&sql, &[]).expect("the findings");
    found.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Asserts that sessions reach no more than before, and owners all of theirs.
fn narrows(a: &mut Client, before: &BTreeSet<String>, owned: &BTreeSet<String>, finding: &str) {
    let after = reach(a);
    let opened: Vec<_> = after.difference(before).collect();
    assert!(opened.is_empty(), "the remediation of {finding} opens {opened:#?}");
    let lost: Vec<_> = owned.difference(&after).collect();
    assert!(lost.is_empty(), "the remediation of {finding} takes {lost:#?}");
}

/// Conditions stay, and there is no statement where one would open or take too much.
fn the_expected_remediations_are_printed(a: &mut Client) {
    let mut shown = |finding: &str| {
        let sql = format!(
            "SELECT coalesce(remediation, substring(evidence FROM 'No remediation is printed: .*'))
             FROM crewsnow_ops.audit_rls() WHERE finding = '{}'",
            finding.replace('\'', "''")
        );
        value(a, &sql)
    };
    for (finding, expected) in [
        (
            "planted-rows policy \"own\" on public.files",
            "ALTER POLICY own ON public.files WITH CHECK (((bucket = 'exports'::text) AND \
             (split_part(path, '/'::text, 1) = (( SELECT auth.uid() AS uid))::text)) AND \
             user_id = (SELECT auth.uid()));",
        ),
        ("planted-rows policy \"change\" on public.leave_days", "does not close it"),
        (
            "read-leak policy \"All see\" on public.team_tasks",
            "No remediation is printed: restricting policy \"All see\" to owners would take rows \
             from team members (table public.members).",
        ),
        (
            "read-leak policy \"see\" on public.blocks",
            "policy \"see\" on public.posts may let more rows through when it sees fewer",
        ),
        (
            "rls-off table public.mutes",
            "policy \"see\" on public.songs may let more rows through when it sees fewer",
        ),
        ("rls-off table public.logins", "CREATE POLICY"),
        ("read-leak table public.diaries", "ALTER POLICY two ON public.diaries USING ("),
        (
            "take-over policy \"claim\" on public.bikes",
            "ALTER POLICY claim ON public.bikes USING ((note IS DISTINCT FROM 'locked'::text) AND \
             user_id = (SELECT auth.uid()));",
        ),
        (
            "forged-rows policy \"own\" on public.reviews",
            "WITH CHECK ((length(COALESCE(note, ''::text)) < 100) AND user_id = ",
        ),
        ("forged-rows policy \"signed\" on public.letters", "does not close it"),
        ("read-leak policy \"signed\" on public.letters", "IN (user_id, receiver)"),
        (
            "read-leak policy \"p\"\"q) USING (true); --\" on public.\"Odd \"\"names\"\"; --\"",
            "AND user_id = (SELECT auth.uid()::text));",
        ),
        (
            "null-discriminator policy \"starter\" on public.recipes",
            "rows without user_id exist, so the server would refuse SET NOT NULL",
        ),
        ("null-discriminator policy \"starter\" on public.menus", "user_id SET NOT NULL;"),
        ("open-delete policy \"everything\" on public.pages", "without taking reads"),
        ("open-insert policy \"everything\" on public.pages", "WITH CHECK (false);"),
    ] {
        let text = shown(finding);
        assert!(text.contains(expected), "{finding}: {text}");
    }
    // The text of the present condition would undo the restriction to owners.
    let sql = "SELECT string_agg(remediation, ' ') FROM crewsnow_ops.audit_rls() \
        WHERE rule = 'per-row-identity'";
    let text = value(a, sql);
    assert!(text.contains("ALTER POLICY see ON public.bikes"), "{text}");
    assert!(!text.contains("ALTER POLICY claim "), "{text}");
}

fn proofs_tell_what_a_remediation_takes(a: &mut Client) {
    let mut proof =
        |finding: &str| value(a, &format!("SELECT crewsnow_ops.prove_remediation('{finding}')"));
    assert_eq!(
        proof("planted-rows policy \"own\" on public.files"),
        "PROVED: closes it; takes nothing else"
    );
    assert_eq!(
        proof("read-leak policy \"shared\" on public.talks"),
        "CLOSES IT, and takes: anon read-leak on public.talk_lines; authenticated read-leak on \
         public.talk_lines"
    );
    assert_eq!(
        proof("planted-rows policy \"change\" on public.leave_days"),
        "not tried: the finding has no remediation; a person has to decide"
    );
}
