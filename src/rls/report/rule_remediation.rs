//! Withholds remediations of rules that would widen a reach, take entitled rows, or undo the
//! remediation of another finding.

use super::remediation_proof::{Prover, narrowed_with};
use crate::pg::rewrite::policy_overlay::keeps_conditions;
use crate::pg::rewrite::qual::Qual;
use crate::pg::xact::subtransaction::isolated;
use crate::rls::audit::Audit;
use crate::rls::engine::probe::MAX_COST;
use crate::rls::model::Finding;
use crate::rls::target::table_shape::TableShape;
use pgrx::pg_sys;
use std::collections::BTreeMap;

/// The rule whose remediation writes a condition in another form.
const SAME_CONDITION: &str = "per-row-identity";
/// The words before the name of a column.
const ALTER_COLUMN: &str = " ALTER COLUMN ";

/// Withholds the remediations of rules that cannot be proved harmless.
pub fn withhold_harmful(audit: &Audit, prover: &mut Prover<'_>, findings: &mut [Finding]) {
    for finding in findings {
        let Some(script) = &finding.remediation else { continue };
        let refuted = refutation(audit, prover, finding, script);
        if let Err(why) = refuted {
            withhold(finding, &why);
        }
    }
}

/// Tells by `Err` why a remediation is withheld.
fn refutation(
    audit: &Audit,
    prover: &mut Prover<'_>,
    finding: &Finding,
    script: &str,
) -> Result<(), String> {
    let Some(relation) = finding.relation else { return Ok(()) };
    let enables = script.contains("ENABLE ROW LEVEL SECURITY");
    if enables {
        narrowed_with(audit, pg_sys::Oid::from(relation))?;
    }
    let Some((table, _)) = audit.table(relation) else { return Ok(()) };
    if enables {
        if script.contains("CREATE POLICY") {
            let memberships = prover.memberships(table);
            if !memberships.is_empty() {
                return Err(format!(
                    "a policy for owners would take rows from team members (table {})",
                    memberships.join(", ")
                ));
            }
        }
        return Ok(());
    }
    if let Some(column) = forbidden_nulls(script)
        && has_nulls(table.oid(), &column)
    {
        return Err(format!(
            "rows without {column} exist, so the server would refuse SET NOT NULL. \
             Fill them in, or take IS NULL out of the policy"
        ));
    }
    let is_of_policy = |statement: &String| {
        statement.starts_with("ALTER POLICY ") || statement.starts_with("DROP POLICY ")
    };
    if !table.is_secured || !statements(script).iter().all(is_of_policy) {
        return Ok(());
    }
    let keeps = || isolated(|| keeps_conditions(&table.named, script));
    if finding.rule == SAME_CONDITION && matches!(keeps(), Ok(Ok(true))) {
        return Ok(());
    }
    prover.prove_harmless(table, script)
}

/// The column, quoted, that a script makes NOT NULL.
fn forbidden_nulls(script: &str) -> Option<String> {
    let statements = statements(script);
    let (_, column) = statements
        .iter()
        .find_map(|s| s.strip_suffix(" SET NOT NULL")?.split_once(ALTER_COLUMN))?;
    Some(column.to_owned())
}

/// Whether a row has NULL in a column. A search that would cost too much finds none.
fn has_nulls(table: pg_sys::Oid, column: &str) -> bool {
    let Ok(shape) = TableShape::read(table) else { return false };
    let condition = format!("t.{column} IS NULL");
    let found = isolated(|| shape.rows(&condition, Qual::ALWAYS, 1, MAX_COST));
    matches!(found, Ok(Ok(rows)) if !rows.is_empty())
}

/// Withholds remediations that set a clause that the remediation of a worse finding sets, too, to
/// something else. The findings must be sorted, worst first.
pub fn withhold_conflicting(findings: &mut [Finding]) {
    let mut set: BTreeMap<(String, &str), (String, String)> = BTreeMap::new();
    for finding in findings {
        let Some(script) = &finding.remediation else { continue };
        let of_finding: Vec<_> = statements(script).iter().flat_map(|s| clauses(s)).collect();
        let conflict = of_finding.iter().find_map(|(clause, text)| {
            set.get(clause).filter(|(known, _)| known != text).map(|(_, other)| other.clone())
        });
        match conflict {
            Some(other) => {
                withhold(finding, &format!("the remediation of {other} changes the same policy"));
            }
            None => {
                let key = finding.key();
                for (clause, text) in of_finding {
                    set.entry(clause).or_insert_with(|| (text, key.clone()));
                }
            }
        }
    }
}

fn withhold(finding: &mut Finding, why: &str) {
    finding.remediation = None;
    finding.evidence += &format!(". No remediation is printed: {why}.");
}

/// The places of a text that are outside of quotes and parentheses.
fn top_level(text: &str) -> impl Iterator<Item = usize> + '_ {
    let (mut depth, mut quote) = (0_i32, None);
    text.char_indices().filter_map(move |(at, c)| {
        let is_outside = depth == 0 && quote.is_none();
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            _ => {}
        }
        is_outside.then_some(at)
    })
}

/// The statements of a script without the comments before them.
fn statements(script: &str) -> Vec<String> {
    let script: String = script
        .lines()
        .skip_while(|line| line.starts_with("--"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut statements = Vec::new();
    let mut start = 0;
    for at in top_level(&script).filter(|at| script[*at..].starts_with(';')) {
        statements.push(script[start..at].trim().to_owned());
        start = at + 1;
    }
    statements
}

/// The clauses that an ALTER POLICY sets, each with the policy and its text.
fn clauses(statement: &str) -> Vec<((String, &'static str), String)> {
    if !statement.starts_with("ALTER POLICY ") {
        return Vec::new();
    }
    let place =
        |keyword: &str| top_level(statement).find(|at| statement[*at..].starts_with(keyword));
    let (using, check) = (place("USING ("), place("WITH CHECK ("));
    let end = using.into_iter().chain(check).min().unwrap_or(statement.len());
    let policy = statement[..end].trim().to_owned();
    let text = |from: usize, to: Option<usize>| {
        statement[from..to.unwrap_or(statement.len())].trim().to_owned()
    };
    let using = using.map(|from| ((policy.clone(), "USING"), text(from, check)));
    let check = check.map(|from| ((policy.clone(), "WITH CHECK"), text(from, None)));
    using.into_iter().chain(check).collect()
}

#[cfg(test)]
mod tests {
    use super::{clauses, forbidden_nulls, statements};

    #[test]
    fn the_column_of_a_statement_is_read() {
        let script = "-- as owner:\nALTER TABLE s.t ALTER COLUMN \"Team Id\" SET NOT NULL;";
        assert_eq!(forbidden_nulls(script).as_deref(), Some("\"Team Id\""));
        assert_eq!(forbidden_nulls("ALTER POLICY p ON t USING (false);"), None);
    }

    #[test]
    fn the_clauses_of_a_statement_are_told_apart() {
        let script = "-- as owner:\nALTER POLICY p ON t USING ((a = 1) AND b);\n\
            ALTER POLICY \"q; USING (\" ON t\n    USING (a = ';')\n    WITH CHECK (b);";
        let found: Vec<_> = statements(script).iter().flat_map(|s| clauses(s)).collect();
        let clause =
            |policy: &str, keyword, text: &str| ((policy.to_owned(), keyword), text.to_owned());
        assert_eq!(
            found,
            [
                clause("ALTER POLICY p ON t", "USING", "USING ((a = 1) AND b)"),
                clause("ALTER POLICY \"q; USING (\" ON t", "USING", "USING (a = ';')"),
                clause("ALTER POLICY \"q; USING (\" ON t", "WITH CHECK", "WITH CHECK (b)"),
            ]
        );
    }
}
