//! One run of the audit: every table as every identity, and the findings.

use super::engine::cell::{Cell, worst_cells};
use super::engine::examination::Examination;
use super::engine::examine::{FUTURE_ROW, add_remaining_cells, cells_without_claims};
use super::engine::reach_probe;
use super::engine::trusted_tables::{Search, Trusts};
use super::model::{Audience, Confidence, Finding, Reach, Severity, Verdict};
use super::report::ownership;
use super::target::accounts::AccountPool;
use super::target::application::Application;
use super::target::claims::ClaimPlan;
use super::target::policy;
use super::target::policy::{ClauseFacts, Policy};
use super::target::table;
use super::target::table::Table;
use crate::pg::memory;
use crate::pg::rewrite::claims::{ClaimPath, SETTING};
use crate::pg::xact::subtransaction::isolated;
use crate::rls::error::RlsError;
use crate::settings;
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The result of an audit.
pub struct Audit {
    /// The audited application.
    pub application: Application,
    /// Its policies.
    pub policies: Vec<Policy>,
    /// Facts about each clause of the policies.
    pub facts: Rc<[ClauseFacts]>,
    /// Its tables, each with its verdicts.
    pub tables: Vec<(Table, Vec<Cell>)>,
    /// Tables that policies trust and that users write; empty before [`Audit::find_trusts`].
    pub trusts: Trusts,
    accounts: AccountPool,
    /// Ids of some accounts that own rows, by table.
    pub owners: HashMap<u32, Vec<String>>,
    /// When the time of the audit is used up.
    pub end: Instant,
}

impl Audit {
    /// Reads the application, without probing.
    pub fn prepare(only: Option<pg_sys::Oid>) -> Result<Self, RlsError> {
        let mut application = Application::read()?;
        let policies = policy::policies(only)?;
        let facts = policy::clause_facts(&policies, &application);
        // Policies of other tables tell owners, too: they compare keys that this one references.
        let compared = match only {
            None => policy::compared_columns(&facts),
            Some(_) => {
                let all = policy::policies(None)?;
                policy::compared_columns(&policy::clause_facts(&all, &application))
            }
        };
        let tables = table::tables(&application, only, &compared)?;
        let types = tables
            .iter()
            .flat_map(|table| table.owners.iter().map(|owner| owner.id_type()))
            .collect();
        application.learn_owner_type(types);
        Ok(Self {
            application,
            policies,
            facts,
            tables: tables.into_iter().map(|table| (table, Vec::new())).collect(),
            trusts: Trusts::default(),
            accounts: AccountPool::default(),
            owners: HashMap::new(),
            end: Instant::now() + Duration::from_millis(settings::audit_time()),
        })
    }

    /// Audits all tables that client roles reach, or one.
    pub fn run(only: Option<pg_sys::Oid>) -> Result<Self, RlsError> {
        Self::examined(Self::prepare(only)?)
    }

    /// Audits some of the tables that client roles reach.
    pub fn run_on(tables: &BTreeSet<u32>) -> Result<Self, RlsError> {
        let mut audit = Self::prepare(None)?;
        audit.tables.retain(|(table, _)| tables.contains(&table.oid().to_u32()));
        Self::examined(audit)
    }

    /// A prepared audit with the verdicts on its tables.
    fn examined(mut audit: Self) -> Result<Self, RlsError> {
        let end = audit.end;
        let mut accounts = AccountPool::find(&audit.application)?;
        let in_time = |table: &Table| match Instant::now() < end {
            true => Ok(()),
            false => Err(RlsError::Unreadable {
                table: table.named.name.clone(),
                reason: "crewsnow_ops.audit_time is used up".to_owned(),
            }),
        };
        let Self { application, policies, facts, tables, owners: known_owners, .. } = &mut audit;
        // Sample owners of each table; `None` if its audit ends after requests without claims.
        let mut owners: Vec<Option<Vec<String>>> = Vec::new();
        for (table, cells) in tables.iter_mut() {
            let has_policies =
                !of_table(policies, table.oid(), |policy| policy.relation).is_empty();
            let examined = match table.is_reachable() || has_policies {
                true => in_time(table).and_then(|()| {
                    surviving(table, || {
                        let mut examination = Examination::new(
                            table,
                            application,
                            of_table(policies, table.oid(), |policy| policy.relation),
                        );
                        examination.facts = of_table(facts, table.oid(), |clause| clause.relation);
                        *cells = cells_without_claims(&mut examination, &mut accounts)?;
                        Ok(Some(examination.owners))
                    })
                }),
                false => Ok(None),
            };
            owners.push(examined.unwrap_or_else(|error| {
                *cells = not_audited(table, application, &error.to_string());
                None
            }));
        }
        for ((table, cells), owners) in tables.iter_mut().zip(owners) {
            let policies = of_table(policies, table.oid(), |policy| policy.relation);
            let facts = of_table(facts, table.oid(), |clause| clause.relation);
            let mut untried = BTreeSet::new();
            if let Some(owners) = owners {
                let examined = in_time(table).and_then(|()| {
                    surviving(table, || {
                        let mut examination = Examination::new(table, application, policies);
                        known_owners.insert(table.oid().to_u32(), owners.clone());
                        examination.owners = owners;
                        examination.facts = facts;
                        examination.claims = ClaimPlan::of(application, facts);
                        add_remaining_cells(&examination, cells, &mut accounts);
                        untried = examination.claims.untried;
                        Ok(())
                    })
                });
                if let Err(error) = examined {
                    cells.extend(not_audited(table, application, &error.to_string()));
                }
            }
            doubt(cells, policies, facts, (application, &untried));
            doubt_unanalysed(cells, policies, facts);
        }
        audit.accounts = accounts;
        Ok(audit)
    }

    /// Tries whether users write rows by which policies decide, and put rows into teams of others.
    pub fn find_trusts(&mut self) {
        let Self { application, facts, tables, accounts, end, .. } = self;
        let known_leaks = tables.iter().enumerate().flat_map(|(place, (_, cells))| {
            cells
                .iter()
                .filter(|cell| matches!(cell.verdict, Verdict::Leak(..)))
                .map(move |cell| (place, reach_probe::command(cell.reach)))
        });
        let search = Search {
            known_leaks: known_leaks.collect(),
            tables: tables.iter().map(|(table, _)| table).collect(),
            application,
            facts,
        };
        self.trusts = search.run(accounts, &|| Instant::now() < *end);
    }

    /// The findings that follow from the verdicts, without remediations.
    pub fn findings(&self) -> Vec<Finding> {
        self.tables.iter().flat_map(|(table, cells)| self.of_table(table, cells)).collect()
    }

    /// Adds the policies that rules did not see as SQL, after the rules were evaluated.
    pub fn add_undeparsed(&self, findings: &mut Vec<Finding>) {
        for (relation, policy, why) in policy::undeparsed() {
            let table = self.tables.iter().find(|(table, _)| table.oid() == relation);
            let policy = self.policies.iter().find(|known| known.oid == policy);
            let (Some((table, _)), Some(policy)) = (table, policy) else { continue };
            let evidence = format!("policy {} could not be deparsed: {why}", quoted(&policy.name));
            let known = findings.iter_mut().find(|known| {
                known.rule == "inconclusive" && known.relation == Some(relation.to_u32())
            });
            match known {
                Some(known) => known.evidence = format!("{}; {evidence}", known.evidence),
                None => findings.push(Finding {
                    rule: "inconclusive",
                    severity: Severity::Info,
                    confidence: Confidence::Suspected,
                    object: format!("table {}", table.named.name),
                    relation: Some(relation.to_u32()),
                    policy: None,
                    detail: "Rules did not see a policy of the table as SQL.".to_owned(),
                    evidence,
                    remediation: None,
                    cache_key: None,
                }),
            }
        }
    }

    /// The policies of one table.
    pub fn policies_of(&self, table: pg_sys::Oid) -> &[Policy] {
        of_table(&self.policies, table, |policy| policy.relation)
    }

    /// The facts about the clauses of one table's policies.
    pub fn facts_of(&self, table: pg_sys::Oid) -> &[ClauseFacts] {
        of_table(&self.facts, table, |clause| clause.relation)
    }

    /// A table and its verdicts.
    pub fn table(&self, oid: u32) -> Option<&(Table, Vec<Cell>)> {
        self.tables.iter().find(|(table, _)| table.oid().to_u32() == oid)
    }

    /// The policies that are responsible for the finding of a reach to a table.
    pub fn responsible(&self, cells: &[Cell], reach: Reach) -> Vec<Policy> {
        let is_open = |cell: &&&Cell| {
            cell.reach == reach && matches!(cell.verdict, Verdict::Leak(..) | Verdict::Public(_))
        };
        responsible_policies(worst_cells(cells).values().filter(is_open).copied())
    }

    fn of_table(&self, table: &Table, cells: &[Cell]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let worst = worst_cells(cells);
        // A table without row-level security has one finding, of rule rls-off.
        for reach in Reach::ALL.into_iter().filter(|_| table.is_secured) {
            let of_reach: Vec<&Cell> =
                worst.iter().filter(|((of, _), _)| *of == reach).map(|(_, cell)| *cell).collect();
            findings.extend(self.leak(table, reach, &of_reach));
            findings.extend(self.public(table, reach, &of_reach));
        }
        findings.extend(ownership::findings(
            table,
            cells,
            of_table(&self.policies, table.oid(), |policy| policy.relation),
            of_table(&self.facts, table.oid(), |clause| clause.relation),
        ));
        let about = |rule, severity, confidence, detail: String, evidence: String| Finding {
            rule,
            severity,
            confidence,
            object: format!("table {}", table.named.name),
            relation: Some(table.oid().to_u32()),
            policy: None,
            detail,
            evidence,
            remediation: None,
            cache_key: None,
        };
        let latent: Vec<&Cell> =
            cells.iter().filter(|cell| cell.verdict == Verdict::NoAccess).collect();
        if !latent.is_empty() {
            let roles: BTreeSet<String> = latent
                .iter()
                .map(|cell| crate::pg::xact::sec_context::role_name(cell.role))
                .collect();
            let reaches: BTreeSet<Reach> = latent.iter().map(|cell| cell.reach).collect();
            let verbs: Vec<&str> = reaches.iter().map(|reach| reach.verb()).collect();
            let detail = format!(
                "The policies of {} would let {} {}. Only the missing privileges prevent it.",
                table.named.name,
                roles.into_iter().collect::<Vec<_>>().join(" and "),
                verbs.join(", ")
            );
            let evidence: Vec<String> = latent.iter().map(|cell| facts(cell)).collect();
            findings.push(about(
                "latent-leak",
                Severity::Low,
                Confidence::Proved,
                detail,
                evidence.join("; "),
            ));
        }
        let mut once = BTreeSet::new();
        let of = of_table(&self.facts, table.oid(), |clause| clause.relation);
        if let Some(why) = unanalysed(&self.policies, of) {
            once.insert(("inconclusive", why.clone()));
            findings.push(about(
                "inconclusive",
                Severity::Info,
                Confidence::Suspected,
                "The audit could not analyse a policy of the table. Rules did not see the policy, \
                 and no verdict of the table is safe."
                    .to_owned(),
                why,
            ));
        }
        for cell in cells {
            let role = crate::pg::xact::sec_context::role_name(cell.role);
            let finding = match &cell.verdict {
                Verdict::Exempt => about(
                    "exempt-role",
                    Severity::High,
                    Confidence::Proved,
                    format!(
                        "{role} is exempt from row-level security: it owns the table, is a member \
                         of the owner, or has BYPASSRLS."
                    ),
                    format!("{role} is exempt"),
                ),
                Verdict::Failing(error) => about(
                    "failing-policies",
                    Severity::Medium,
                    Confidence::Observed,
                    format!(
                        "Policies of the table raise an error: {} by {role}.",
                        cell.reach.rule()
                    ),
                    error.clone(),
                ),
                Verdict::Inconclusive(why) => about(
                    "inconclusive",
                    Severity::Info,
                    Confidence::Suspected,
                    "The audit could not decide whether foreign rows are reached.".to_owned(),
                    why.clone(),
                ),
                _ => continue,
            };
            if once.insert((finding.rule, finding.evidence.clone())) {
                let known =
                    findings.iter_mut().find(|known: &&mut Finding| known.rule == finding.rule);
                match known {
                    Some(known) => {
                        known.evidence = format!("{}; {}", known.evidence, finding.evidence)
                    }
                    None => findings.push(finding),
                }
            }
        }
        findings
    }

    /// The finding of a leak.
    fn leak(&self, table: &Table, reach: Reach, cells: &[&Cell]) -> Option<Finding> {
        let leaks: Vec<(&Cell, Confidence, Audience)> = cells
            .iter()
            .filter_map(|cell| match cell.verdict {
                Verdict::Leak(confidence, audience) => Some((*cell, confidence, audience)),
                _ => None,
            })
            .collect();
        let audience = leaks.iter().map(|(_, _, audience)| *audience).min()?;
        let confidence = leaks.iter().map(|(_, confidence, _)| *confidence).min()?;
        let responsible_policies = responsible_policies(leaks.iter().map(|(cell, ..)| *cell));
        let evidence: Vec<String> = leaks.iter().map(|(cell, ..)| facts(cell)).collect();
        let is_future = |leak: &(&Cell, Confidence, Audience)| leak.0.evidence.contains(FUTURE_ROW);
        let severity = match audience {
            _ if leaks.iter().all(is_future) => Severity::Medium,
            Audience::Anonymous | Audience::AnyAccount => Severity::Critical,
            Audience::Session | Audience::EveryUser => Severity::High,
        };
        Some(Finding {
            rule: reach.rule(),
            severity,
            confidence,
            object: object(table, &responsible_policies),
            relation: Some(table.oid().to_u32()),
            policy: (responsible_policies.len() == 1).then(|| responsible_policies[0].oid.to_u32()),
            detail: format!(
                "On {} {} can {}{}.",
                table.named.name,
                audience_text(audience, &leaks),
                reach.verb(),
                because(table, &responsible_policies)
            ),
            evidence: evidence.join("; "),
            remediation: None,
            cache_key: None,
        })
    }

    /// The finding of an open table without owner columns.
    fn public(&self, table: &Table, reach: Reach, cells: &[&Cell]) -> Option<Finding> {
        let open: Vec<&Cell> = cells
            .iter()
            .filter(|cell| matches!(cell.verdict, Verdict::Public(_)))
            .copied()
            .collect();
        let confidence = open.iter().filter_map(|cell| cell.verdict.confidence()).min()?;
        let private = ownership::private_rows(table, &self.tables).filter(|_| reach == Reach::Read);
        let responsible_policies = responsible_policies(open.iter().copied());
        let who: BTreeSet<String> =
            open.iter().map(|cell| crate::pg::xact::sec_context::role_name(cell.role)).collect();
        let who = who.into_iter().collect::<Vec<_>>().join(" and ");
        let what = match (reach, &private) {
            (Reach::Read, None) => "read it; the table has no owner column".to_owned(),
            (Reach::Read, Some((_, why))) => format!("read it, {why}"),
            (Reach::Forge, _) => "insert any row".to_owned(),
            (Reach::Destroy, _) => "delete its rows; the table has no owner column".to_owned(),
            _ => "change its rows; the table has no owner column".to_owned(),
        };
        let (rule, severity) = match reach {
            Reach::Read => ("public-read", Severity::Info),
            Reach::Forge => ("open-insert", Severity::Medium),
            Reach::Destroy => ("open-delete", Severity::High),
            _ => ("open-update", Severity::High),
        };
        let is_future = open.iter().all(|cell| cell.evidence.contains(FUTURE_ROW));
        let severity = if is_future { severity.max(Severity::Medium) } else { severity };
        Some(Finding {
            rule,
            severity: private.as_ref().map_or(severity, |(severity, _)| *severity),
            // Private rows may be published on purpose.
            confidence: if private.is_some() { Confidence::Suspected } else { confidence },
            object: object(table, &responsible_policies),
            relation: Some(table.oid().to_u32()),
            policy: (responsible_policies.len() == 1).then(|| responsible_policies[0].oid.to_u32()),
            detail: format!(
                "Every session of {who} can {what}{}.",
                because(table, &responsible_policies)
            ),
            evidence: open.iter().map(|cell| facts(cell)).collect::<Vec<_>>().join("; "),
            remediation: None,
            cache_key: None,
        })
    }
}

/// The words for those whom a leak is open to.
fn audience_text(audience: Audience, leaks: &[(&Cell, Confidence, Audience)]) -> String {
    if audience != Audience::Session {
        return audience.to_string();
    }
    let is_widest = |leak: &&(&Cell, Confidence, Audience)| leak.2 == audience;
    let roles: BTreeSet<String> = leaks
        .iter()
        .filter(is_widest)
        .map(|(cell, ..)| crate::pg::xact::sec_context::role_name(cell.role))
        .collect();
    format!("any session of {}", roles.into_iter().collect::<Vec<_>>().join(" and "))
}

/// The part of a list, sorted by table oid, that is about one table.
fn of_table<T>(all: &[T], table: pg_sys::Oid, relation: impl Fn(&T) -> pg_sys::Oid) -> &[T] {
    let oid = table.to_u32();
    let first = all.partition_point(|one| relation(one).to_u32() < oid);
    let after = all.partition_point(|one| relation(one).to_u32() <= oid);
    &all[first..after]
}

/// Examines one table. An error of its policies is the table's alone.
fn surviving<R>(
    table: &Table,
    examine: impl FnOnce() -> Result<R, RlsError>,
) -> Result<R, RlsError> {
    memory::in_temporary_context(|| isolated(examine)).unwrap_or_else(|failure| {
        let (table, reason) = (table.named.name.clone(), failure.redacted_message());
        Err(RlsError::Unreadable { table, reason })
    })
}

/// The first policy among these facts that could not be analysed, with the reason.
fn unanalysed(policies: &[Policy], facts: &[ClauseFacts]) -> Option<String> {
    let (clause, why) =
        facts.iter().find_map(|clause| Some((clause, clause.analysis.failure()?)))?;
    let name = policies.iter().find(|policy| policy.oid == clause.policy)?;
    Some(format!("policy {} could not be analysed: {why}", quoted(&name.name)))
}

/// Makes the safe verdicts of a table INCONCLUSIVE if the analysis of one of its policies failed,
/// as [`doubt`] did not see the facts.
fn doubt_unanalysed(cells: &mut [Cell], policies: &[Policy], facts: &[ClauseFacts]) {
    let Some(why) = unanalysed(policies, facts) else { return };
    for cell in cells {
        if matches!(
            cell.verdict,
            Verdict::Closed | Verdict::Isolated | Verdict::IsolatedIn(_) | Verdict::Shared
        ) {
            cell.verdict = Verdict::Inconclusive(why.clone());
        }
    }
}

/// Downgrades verdicts that rest on facts the audit cannot reproduce. A safe verdict becomes
/// INCONCLUSIVE if a policy reads a setting outside crewsnow_ops.claims, because clients may set
/// it. A leak becomes SUSPECTED if a policy reads the connection, which differs from that of a
/// request.
fn doubt(
    cells: &mut [Cell],
    policies: &[Policy],
    facts: &[ClauseFacts],
    (application, untried): (&Application, &BTreeSet<ClaimPath>),
) {
    let is_known = |setting: &&String| {
        let setting = setting.to_ascii_lowercase();
        setting.starts_with("request.jwt.")
            || ["role", "is_superuser", "server_version", "server_version_num"]
                .contains(&setting.as_str())
            || application.claims.iter().any(|(known, _)| known.eq_ignore_ascii_case(&setting))
    };
    let connection_note =
        "a policy reads session_user or the client address, which differ in a request";
    let of: Vec<(&Policy, Vec<&ClauseFacts>)> = policies
        .iter()
        .map(|policy| (policy, facts.iter().filter(|clause| clause.policy == policy.oid).collect()))
        .collect();
    for cell in cells {
        let about: Vec<&(&Policy, Vec<&ClauseFacts>)> = of
            .iter()
            .filter(|(policy, _)| policy.applies_to(reach_probe::command(cell.reach), cell.role))
            .collect();
        let asking: Vec<&Policy> = about
            .iter()
            .filter(|(_, clauses)| clauses.iter().any(|clause| clause.facts.reads_connection))
            .map(|(policy, _)| *policy)
            .collect();
        if let Verdict::Leak(confidence, _) | Verdict::Public(confidence) = &mut cell.verdict {
            let is_asking =
                |responsible: &Policy| asking.iter().any(|policy| policy.oid == responsible.oid);
            let is_let = !cell.responsible_policies.is_empty()
                && cell.responsible_policies.iter().all(is_asking);
            if is_let || asking.iter().any(|policy| !policy.is_permissive) {
                *confidence = Confidence::Suspected;
                cell.add(connection_note);
            }
            continue;
        }
        if !cell.verdict.is_safe() && cell.verdict != Verdict::Shared {
            continue;
        }
        let clauses = || about.iter().flat_map(|(_, clauses)| clauses);
        let is_tried = |setting: &String| {
            let path = vec![format!("{SETTING}{}", setting.to_ascii_lowercase())];
            !untried.contains(&path) && clauses().any(|clause| clause.claims.contains_key(&path))
        };
        let unknown = clauses()
            .flat_map(|clause| clause.facts.settings.iter().chain(&clause.inner_settings))
            .find(|setting| !is_known(setting) && !is_tried(setting));
        if let Some(setting) = unknown {
            let why = format!(
                "a policy reads the setting {setting}, which is not in crewsnow_ops.claims"
            );
            cell.verdict = Verdict::Inconclusive(why);
        } else if !asking.is_empty() {
            cell.verdict = Verdict::Inconclusive(connection_note.to_owned());
        } else if clauses().any(|clause| clause.functions_read_time) {
            let why = "a function that a policy calls reads the time".to_owned();
            cell.verdict = Verdict::Inconclusive(why);
        } else if let Some(claim) =
            clauses().flat_map(|clause| clause.claims.keys()).find(|path| untried.contains(*path))
            && cell.has_user
        {
            let claim = claim.join(".");
            let why = format!("no value of the claim {claim} could be tried");
            cell.verdict = Verdict::Inconclusive(why);
        }
    }
}

/// INCONCLUSIVE verdicts for a table that was not audited.
fn not_audited(table: &Table, application: &Application, why: &str) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (place, role) in application.roles.iter().enumerate() {
        for reach in Reach::ALL {
            // As in an audit: only signed-in users own rows.
            let applies = match reach {
                Reach::TakeOver | Reach::Plant => !role.is_anonymous && !table.owners.is_empty(),
                _ => true,
            };
            if applies && table.allows(place, reach_probe::command(reach)) {
                cells.push(Cell {
                    identity: role.name.clone(),
                    role: role.oid,
                    has_user: false,
                    reach,
                    verdict: Verdict::Inconclusive(why.to_owned()),
                    using: String::new(),
                    check: String::new(),
                    responsible_policies: Vec::new(),
                    evidence: String::new(),
                });
            }
        }
    }
    cells
}

fn responsible_policies<'a>(cells: impl Iterator<Item = &'a Cell>) -> Vec<Policy> {
    let responsible_policies: BTreeMap<u32, &Policy> = cells
        .flat_map(|cell| &cell.responsible_policies)
        .map(|policy| (policy.oid.to_u32(), policy))
        .collect();
    responsible_policies.into_values().cloned().collect()
}

/// The single responsible policy, or the table.
fn object(table: &Table, responsible_policies: &[Policy]) -> String {
    match responsible_policies {
        [policy] => format!("policy {} on {}", quoted(&policy.name), table.named.name),
        _ => format!("table {}", table.named.name),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn because(table: &Table, responsible_policies: &[Policy]) -> String {
    match responsible_policies {
        [] if !table.is_secured => ": row-level security is off".to_owned(),
        [] => String::new(),
        [policy] => format!(": policy {} allows it", quoted(&policy.name)),
        several => {
            let names: Vec<String> = several.iter().map(|policy| quoted(&policy.name)).collect();
            format!(": policies {} allow it", names.join(", "))
        }
    }
}

/// Identity, qual and evidence of a cell.
fn facts(cell: &Cell) -> String {
    let seen =
        if cell.evidence.is_empty() { String::new() } else { format!(" ({})", cell.evidence) };
    format!("as {}: {}{seen}", cell.identity, shown(cell))
}

/// The quals that decide a reach.
fn shown(cell: &Cell) -> String {
    match cell.reach {
        Reach::Read | Reach::Destroy => format!("USING {}", cell.using),
        Reach::Forge => format!("WITH CHECK {}", cell.check),
        Reach::Tamper | Reach::TakeOver | Reach::Plant => {
            format!("USING {} WITH CHECK {}", cell.using, cell.check)
        }
    }
}
