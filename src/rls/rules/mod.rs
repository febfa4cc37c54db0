//! Rules over the system catalog: one SQL file each, one row shape. Facts that the server's
//! rewriter proves are not among them.

pub mod lints;

use super::engine::definer_calls;
use super::model::{Confidence, Finding, Severity};
use super::target::application::Application;
use crate::pg::catalog::lookup;
use crate::pg::xact::timeout::{Stopped, isolated_within};
use crate::rls::error::RlsError;
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use std::ffi::CStr;

/// Time limit of a rule, in milliseconds.
const RULE_TIMEOUT_MS: i32 = 5_000;

/// The most findings that a rule lists.
const MAX_FINDINGS: usize = 200;
/// The last line of each rule file.
const LAST_LINE: &str = "LIMIT 200";

/// Schemas of Supabase itself. A project cannot alter what the roles `supabase_…admin` own there.
const PLATFORM_SCHEMAS: [&CStr; 14] = [
    c"_analytics",
    c"_realtime",
    c"auth",
    c"cron",
    c"extensions",
    c"graphql",
    c"graphql_public",
    c"net",
    c"pgbouncer",
    c"pgsodium",
    c"realtime",
    c"storage",
    c"supabase_functions",
    c"vault",
];

/// The oid of pg_policy, which pgrx does not define.
const PG_POLICY: u32 = 3256;

/// A rule.
pub struct Rule {
    /// The id; also the section of docs/rls-rules.md.
    pub id: &'static str,
    sql: &'static str,
}

macro_rules! rules {
    ($($id:literal)*) => {
        &[$(Rule { id: $id, sql: include_str!(concat!("../../../sql/rls/rules/", $id, ".sql")) }),*]
    };
}

/// All rules.
pub const RULES: &[Rule] = rules! {
    "bypassrls-reachable"
    "cascade-past-rls"
    "claims-in-settings"
    "default-privileges"
    "definer-function"
    "definer-trigger"
    "definer-view"
    "exposed-column"
    "exposed-foreign-table"
    "exposed-matview"
    "exposed-users"
    "extension-in-public"
    "foreign-key-to-auth-unique"
    "graphql-and-queues"
    "immutable-session-function"
    "key-oracle"
    "leakproof-function"
    "login-role-policy"
    "missing-unique-pair"
    "multiple-permissive"
    "mutable-search-path"
    "null-discriminator"
    "owner-bypass"
    "partition-without-rls"
    "per-row-identity"
    "policies-without-rls"
    "policy-for-public"
    "policy-name-lies"
    "policy-trusts-open-table"
    "policy-without-effect"
    "privileges-beyond-rls"
    "realtime"
    "rls-off"
    "rls-without-policy"
    "scalar-membership"
    "second-write-path"
    "self-compared-column"
    "server-cve"
    "session-wide-claims"
    "storage-policy"
    "unindexed-owner-column"
    "user-foreign-key-action"
    "user-metadata"
    "volatile-policy"
    "weak-identity"
};

/// The findings of all rules. A rule that fails is an INCONCLUSIVE finding.
pub fn findings(application: &Application) -> Vec<Finding> {
    let mut found = evaluate(&RULES.iter().collect::<Vec<_>>(), application);
    definer_calls::decide(&mut found, application);
    found
}

/// The rule with this id.
#[must_use]
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// The section of the documentation about a rule or about findings that follow from verdicts.
pub fn documentation(id: &str) -> String {
    /// Findings that a rule's section describes, but the membership search makes.
    const SEARCHED: &[&str] = &["foreign-team-rows", "self-written-membership"];
    match rule(id).is_some() || SEARCHED.contains(&id) {
        true => format!("docs/rls-rules.md#{id}"),
        false => "docs/rls.md#findings-that-follow-from-verdicts".to_owned(),
    }
}

/// The findings of some rules.
pub fn evaluate(rules: &[&Rule], application: &Application) -> Vec<Finding> {
    let mut found = Vec::new();
    for rule in rules {
        let why = match isolated_within(RULE_TIMEOUT_MS, || rule.findings(application)) {
            Ok(Ok(findings)) => {
                found.extend(findings);
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(Stopped::TimedOut(limit)) => format!("canceled after {limit} ms"),
            Err(Stopped::Failed(failure)) => failure.redacted_message(),
        };
        found.push(Finding {
            rule: "inconclusive",
            severity: Severity::Info,
            confidence: Confidence::Suspected,
            object: format!("rule {}", rule.id),
            relation: None,
            policy: None,
            detail: "The rule was not evaluated.".to_owned(),
            evidence: why,
            remediation: None,
            cache_key: None,
        });
    }
    found
}

/// Cache keys of splinter's lint about policies that are always true, as (policy, table, key).
///
/// The audit's own verdicts find these policies, so no rule writes the keys.
pub fn always_true_policies() -> Vec<(u32, u32, String)> {
    let keys = isolated_within(RULE_TIMEOUT_MS, || {
        Spi::connect(|client| {
            let mut keys = Vec::new();
            let sql = include_str!("../../../sql/rls/always_true_policies.sql");
            for row in client.select(sql, None, &[])? {
                let oid = |column| row.get::<pg_sys::Oid>(column);
                if let (Some(policy), Some(table), Some(key)) = (oid(1)?, oid(2)?, row.get(3)?) {
                    keys.push((policy.to_u32(), table.to_u32(), key));
                }
            }
            Ok::<_, RlsError>(keys)
        })
    });
    // A report without these keys is as true as one with them.
    keys.ok().and_then(Result::ok).unwrap_or_default()
}

impl Rule {
    fn findings(&self, application: &Application) -> Result<Vec<Finding>, RlsError> {
        let roles: Vec<pg_sys::Oid> = application.client_roles().map(|role| role.oid).collect();
        let users: Vec<pg_sys::Oid> = application.users.iter().map(|users| users.table).collect();
        let settings: Vec<String> =
            application.claims.iter().map(|(setting, _)| setting.clone()).collect();
        let platform: Vec<pg_sys::Oid> =
            PLATFORM_SCHEMAS.into_iter().filter_map(lookup::schema).collect();
        let arguments: [DatumWithOid<'_>; 6] = [
            roles.into(),
            application.identity_functions.clone().into(),
            users.into(),
            settings.into(),
            application.schemas.clone().into(),
            platform.into(),
        ];
        Spi::connect(|client| {
            let mut found = Vec::new();
            for row in client.select(self.sql, None, &arguments)? {
                let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                let is_policy = row.get::<pg_sys::Oid>(4)? == Some(pg_sys::Oid::from(PG_POLICY));
                let object: Option<pg_sys::Oid> = row.get(5)?;
                found.push(Finding {
                    rule: self.id,
                    severity: Severity::parse(&text(1)?),
                    confidence: Confidence::parse(&text(2)?),
                    object: text(3)?,
                    policy: object.filter(|_| is_policy).map(pg_sys::Oid::to_u32),
                    relation: row.get::<pg_sys::Oid>(6)?.map(pg_sys::Oid::to_u32),
                    detail: text(7)?,
                    evidence: text(8)?,
                    remediation: row.get(9)?,
                    cache_key: row.get(10)?,
                });
            }
            if let (MAX_FINDINGS, Some(last)) = (found.len(), found.last().cloned()) {
                // The list is full, so count the rest.
                let counting = format!(
                    "SELECT count(*) FROM ({}) AS f",
                    self.sql.trim_end().trim_end_matches(LAST_LINE)
                );
                let all: i64 =
                    client.select(&counting, None, &arguments)?.first().get_one()?.unwrap_or(0);
                let more = all - MAX_FINDINGS as i64;
                if more > 0 {
                    found.push(Finding {
                        object: format!("rule {}", self.id),
                        relation: None,
                        policy: None,
                        detail: format!("{more} more findings beside the {MAX_FINDINGS} listed."),
                        evidence: format!("{all} in total, worst first"),
                        remediation: None,
                        cache_key: None,
                        ..last
                    });
                }
            }
            Ok(found)
        })
    }
}
