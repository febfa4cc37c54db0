//! Causes: findings with one root cause, as one row of the reports. Pure.
//!
//! Acceptances are stored for each finding, not for a cause. A new object is therefore open,
//! however many others of its cause were accepted.

use crate::rls::model::{Finding, Severity};
use std::collections::{BTreeMap, BTreeSet};

/// How many objects a cause lists in a text.
const LISTED_OBJECTS: usize = 10;

/// One or more findings with the same root cause.
pub struct Cause {
    /// Its name, stable between audits.
    pub key: String,
    /// The findings as one. A cause with several findings has a list as its `object`.
    pub finding: Finding,
    /// The object of each finding.
    pub objects: Vec<String>,
    /// The keys of the same lints in Supabase's linter.
    pub cache_keys: Vec<String>,
    /// The indexes of the findings.
    pub parts: Vec<usize>,
}

/// How the findings of a cause belong together.
struct Scope {
    /// Findings of one rule with an equal text here have one cause.
    shared: String,
    /// The name of the cause after its rule.
    name: String,
}

/// Merges findings, sorted worst first, into causes. `is_verdict` holds for rules whose findings
/// are verdicts on one table. `accepted` is a text about the acceptance of a finding: findings with
/// different texts are not merged.
pub fn causes(
    findings: &[Finding],
    is_verdict: impl Fn(&str) -> bool,
    table_name: impl Fn(u32) -> Option<String>,
    accepted: impl Fn(usize) -> Option<String>,
) -> Vec<Cause> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known: BTreeMap<(&str, String, Option<String>), usize> = BTreeMap::new();
    for (index, finding) in findings.iter().enumerate() {
        let scope = (!is_verdict(finding.rule)).then(|| scope(finding, &table_name)).flatten();
        let Some(scope) = scope else {
            groups.push(Group { key: finding.key(), shared: String::new(), parts: vec![index] });
            continue;
        };
        let group = known.entry((finding.rule, scope.shared.clone(), accepted(index)));
        let group = *group.or_insert_with(|| {
            let key = format!("{} {}", finding.rule, scope.name);
            groups.push(Group { key, shared: scope.shared, parts: Vec::new() });
            groups.len() - 1
        });
        groups[group].parts.push(index);
    }
    distinguish(&mut groups);
    groups.into_iter().map(|group| merge(group.key, group.parts, findings)).collect()
}

/// Findings that become one cause.
struct Group {
    key: String,
    shared: String,
    parts: Vec<usize>,
}

/// Adds a digest of the shared text to a name that several causes of one rule have.
fn distinguish(groups: &mut [Group]) {
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for group in groups.iter().filter(|group| group.parts.len() > 1) {
        texts.entry(group.key.clone()).or_default().insert(group.shared.clone());
    }
    for group in groups.iter_mut().filter(|group| group.parts.len() > 1) {
        if texts.get(&group.key).is_some_and(|texts| texts.len() > 1) {
            group.key += &format!(" #{:06x}", digest(&group.shared));
        }
    }
}

/// FNV-1a, folded to 24 bits: equal on every platform and release.
fn digest(text: &str) -> u32 {
    let hash = text
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash >> 24) ^ (hash & 0x00ff_ffff)
}

/// The text that findings of one cause share.
fn shared_text(finding: &Finding) -> String {
    match finding.rule {
        "privileges-beyond-rls" => finding.remediation.clone().unwrap_or_default(),
        _ => finding.detail.clone(),
    }
}

/// The cause of a finding; `None` if it has one of its own.
fn scope(finding: &Finding, table_name: impl Fn(u32) -> Option<String>) -> Option<Scope> {
    let noun = plural(&finding.object)?;
    match finding.rule {
        "policy-trusts-open-table"
        | "user-metadata"
        | "weak-identity"
        | "privileges-beyond-rls" => {
            let shared = format!("{} {}", finding.severity.as_str(), shared_text(finding));
            Some(Scope { shared, name: noun.to_owned() })
        }
        // One habit, worth one review.
        _ if finding.severity >= Severity::Low => {
            Some(Scope { shared: noun.to_owned(), name: noun.to_owned() })
        }
        _ if noun == "policies" || noun == "tables" => {
            let table = table_name(finding.relation?)?;
            let shared = format!("{table} {} {}", finding.severity.as_str(), shared_text(finding));
            Some(Scope { shared, name: format!("{noun} on {table}") })
        }
        _ => None,
    }
}

/// The plural of the kind of an object.
fn plural(object: &str) -> Option<&'static str> {
    Some(match object.split(' ').next()? {
        "policy" => "policies",
        "table" => "tables",
        "view" => "views",
        "function" => "functions",
        "procedure" => "procedures",
        "trigger" => "triggers",
        "constraint" => "constraints",
        "column" => "columns",
        "index" => "indexes",
        "default" => "default privileges",
        "extension" => "extensions",
        _ => return None,
    })
}

fn merge(key: String, parts: Vec<usize>, findings: &[Finding]) -> Cause {
    let of: Vec<&Finding> = parts.iter().map(|part| &findings[*part]).collect();
    let first = of[0];
    let objects: Vec<String> = of.iter().map(|finding| finding.object.clone()).collect();
    let cache_keys: Vec<String> = of
        .iter()
        .filter_map(|finding| finding.cache_key.as_ref())
        .flat_map(|keys| keys.lines().map(str::to_owned))
        .collect();
    let mut finding = first.clone();
    finding.cache_key = cache_keys.first().cloned();
    if let [_] = parts.as_slice() {
        return Cause { key: first.key(), finding, objects, cache_keys, parts };
    }
    let same = |field: fn(&Finding) -> &str| of.iter().all(|other| field(other) == field(first));
    finding.confidence = of.iter().map(|part| part.confidence).min().unwrap_or(first.confidence);
    finding.object = listed(&objects, ", ");
    if !same(|finding| &finding.detail) {
        let mut details: Vec<&str> = of.iter().map(|part| part.detail.as_str()).collect();
        let mut seen = BTreeSet::new();
        details.retain(|detail| seen.insert(*detail));
        finding.detail = match details.as_slice() {
            [one, other] => format!("{one} {other}"),
            _ => format!("{} objects with this defect. The first: {}", of.len(), first.detail),
        };
    }
    if !same(|finding| &finding.evidence) {
        let facts: Vec<String> =
            of.iter().map(|part| format!("{}: {}", part.object, part.evidence)).collect();
        finding.evidence = listed(&facts, "; ");
    }
    if of.iter().any(|part| part.relation != first.relation) {
        finding.relation = None;
    }
    finding.policy = None;
    // A statement for all objects stands in each finding.
    let mut scripts: Vec<&str> = Vec::new();
    for script in of.iter().filter_map(|part| part.remediation.as_deref()) {
        if !scripts.contains(&script) {
            scripts.push(script);
        }
    }
    finding.remediation = (!scripts.is_empty()).then(|| scripts.join("\n"));
    Cause { key, finding, objects, cache_keys, parts }
}

/// The first ten, and the number of the others.
pub fn listed(texts: &[String], separator: &str) -> String {
    let mut list = texts[..texts.len().min(LISTED_OBJECTS)].join(separator);
    if let Some(more) = texts.len().checked_sub(LISTED_OBJECTS).filter(|more| *more > 0) {
        list += &format!(" and {more} more");
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rls::model::Confidence;

    fn finding(rule: &'static str, severity: Severity, object: &str, relation: u32) -> Finding {
        Finding {
            rule,
            severity,
            confidence: Confidence::Proved,
            object: object.to_owned(),
            relation: Some(relation),
            policy: Some(1),
            detail: "It is wrong.".to_owned(),
            evidence: format!("seen at {object}"),
            remediation: Some(format!("ALTER {object};")),
            cache_key: Some(format!("key_{object}")),
        }
    }

    fn merged(findings: &[Finding], accepted: &[usize]) -> Vec<Cause> {
        causes(
            findings,
            |rule| rule == "read-leak",
            |table| Some(format!("public.t{table}")),
            |index| accepted.contains(&index).then(|| "until May".to_owned()),
        )
    }

    fn keys(causes: &[Cause]) -> Vec<(&str, usize)> {
        causes.iter().map(|cause| (cause.key.as_str(), cause.parts.len())).collect()
    }

    #[test]
    fn a_habit_is_one_cause_with_its_objects_listed() {
        let names: Vec<String> =
            (1..=31).map(|n| format!("policy \"p{n}\" on public.t{n}")).collect();
        let found: Vec<Finding> = names
            .iter()
            .zip(1..)
            .map(|(name, n)| finding("per-row-identity", Severity::Low, name, n))
            .collect();
        let causes = merged(&found, &[]);
        assert_eq!(keys(&causes), [("per-row-identity policies", 31)]);
        assert_eq!(causes[0].objects, names);
        assert_eq!(causes[0].cache_keys.len(), 31);
        assert!(causes[0].finding.object.ends_with("\"p10\" on public.t10 and 21 more"));
        assert_eq!(causes[0].finding.detail, "It is wrong.");
        assert_eq!(causes[0].finding.remediation.as_ref().map(|sql| sql.lines().count()), Some(31));
    }

    #[test]
    fn a_finding_alone_keeps_its_name_and_texts() {
        let found = [finding("per-row-identity", Severity::Low, "policy \"p\" on public.t", 1)];
        let causes = merged(&found, &[]);
        assert_eq!(keys(&causes), [("per-row-identity policy \"p\" on public.t", 1)]);
        assert_eq!(causes[0].finding, found[0]);
    }

    #[test]
    fn an_object_added_after_the_acceptance_is_open() {
        let found: Vec<Finding> = (1..=4)
            .map(|n| {
                let name = format!("policy \"p{n}\" on public.t");
                finding("per-row-identity", Severity::Low, &name, 1)
            })
            .collect();
        assert_eq!(
            keys(&merged(&found, &[0, 1, 2])),
            [("per-row-identity policies", 3), ("per-row-identity policy \"p4\" on public.t", 1)]
        );
    }

    #[test]
    fn dangerous_findings_of_different_tables_stay_apart() {
        let name = |n| format!("policy \"p{n}\" on public.t{n}");
        let found: Vec<Finding> = [(1, 1), (2, 1), (3, 2)]
            .map(|(n, table)| finding("policy-for-public", Severity::Critical, &name(n), table))
            .into();
        assert_eq!(
            keys(&merged(&found, &[])),
            [
                ("policy-for-public policies on public.t1", 2),
                ("policy-for-public policy \"p3\" on public.t3", 1)
            ]
        );
        let verdicts = [1, 2].map(|n| finding("read-leak", Severity::High, &name(n), 1));
        assert_eq!(merged(&verdicts, &[]).len(), 2, "a verdict is never merged");
    }

    #[test]
    fn policies_with_one_open_table_or_one_claim_have_one_cause() {
        let found = [("a", 1), ("a", 2), ("b", 3), ("b", 4)].map(|(table, n)| Finding {
            detail: format!("The policy reads public.{table}."),
            ..finding(
                "policy-trusts-open-table",
                Severity::Critical,
                &format!("policy \"p{n}\" on public.t{n}"),
                n,
            )
        });
        let causes = merged(&found, &[]);
        assert_eq!(causes.iter().map(|cause| cause.parts.len()).collect::<Vec<_>>(), [2, 2]);
        assert_ne!(causes[0].key, causes[1].key);
        assert_eq!(causes[0].finding.detail, "The policy reads public.a.");
    }

    #[test]
    fn one_statement_for_all_objects_is_printed_once() {
        let found = [1, 2, 3].map(|n| Finding {
            remediation: Some("REVOKE TRUNCATE ON ALL TABLES IN SCHEMA public FROM anon;".into()),
            ..finding("privileges-beyond-rls", Severity::Low, &format!("table public.t{n}"), n)
        });
        let causes = merged(&found, &[]);
        assert_eq!(keys(&causes), [("privileges-beyond-rls tables", 3)]);
        assert_eq!(causes[0].finding.remediation, found[0].remediation);
    }
}
