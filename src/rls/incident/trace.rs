//! Incident tool: the access paths by which a reader reaches the rows of a victim.

use super::prove_remediation;
use super::prove_remediation::{PROVED, Proof};
use crate::pg::error::ServerError;
use crate::pg::fmgr::srf::MaterializedRows;
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::{RowQuery, Undecidable};
use crate::pg::rewrite::value::Parameters;
use crate::pg::xact::subtransaction::isolated;
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::api::text;
use crate::rls::audit::Audit;
use crate::rls::engine::attribution::{classify_foreign_row, reaches_row, responsible_policies};
use crate::rls::engine::examination::Examination;
use crate::rls::engine::probe::{Probe, ProbeResult};
use crate::rls::engine::reach_probe::{command, owner_columns, probe_plant, reach_qual};
use crate::rls::engine::rows::{RowId, RowScope};
use crate::rls::error::RlsError;
use crate::rls::model::{Audience, Confidence, Reach, Severity, Verdict};
use crate::rls::report::remediation;
use crate::rls::report::remediation_proof::Prover;
use crate::rls::rules;
use crate::rls::target::accounts::AccountPool;
use crate::rls::target::application::Application;
use crate::rls::target::identity::Identity;
use crate::rls::target::policy;
use crate::rls::target::policy::Policy;
use crate::rls::target::roles::Role;
use crate::rls::target::table::Table;
use pgrx::IntoDatum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::rc::Rc;

mod objects;

/// Foreign rows are counted up to this.
const MAX_FOREIGN_ROWS: u64 = 10_000;

/// An access path to rows of the victim.
pub struct AccessPath {
    kind: &'static str,
    object: String,
    reach: &'static str,
    verdict: &'static str,
    identity: String,
    victim_rows: i64,
    other_rows: Option<i64>,
    other_users: Option<i64>,
    through: Vec<String>,
    evidence: String,
    remediation: Option<String>,
    proof: Option<String>,
    /// The query that counted rows of a view or function.
    count_query: Option<String>,
}

/// Rows of the victim, the owners of the other reached rows, and the qual.
type Reached = (Vec<RowId>, Vec<String>, Qual);

/// The state of a trace.
struct Trace<'a> {
    application: &'a Application,
    accounts: AccountPool,
    victim: String,
    prover: Prover<'a>,
}

impl<'a> Trace<'a> {
    /// The identity of a user: of the account if it exists, otherwise of a new account.
    fn identity(&mut self, role: &Role, id: &str) -> Result<Identity, RlsError> {
        self.accounts.load_existing(self.application, vec![id.to_owned()])?;
        Ok(self.accounts.identity(self.application, role, id))
    }

    /// The access paths of an identity to the victim's rows in a table, worst first.
    fn paths_of_table(
        &mut self,
        table: &'a Table,
        policies: &[Policy],
        place: usize,
        who: &Identity,
    ) -> Vec<AccessPath> {
        let mut paths = Vec::new();
        for reach in Reach::ALL {
            if !table.allows(place, command(reach)) {
                continue;
            }
            if let Some(path) = self.path(table, policies, who, reach) {
                paths.push(path);
            }
        }
        paths
    }

    fn path(
        &mut self,
        table: &'a Table,
        policies: &[Policy],
        who: &Identity,
        reach: Reach,
    ) -> Option<AccessPath> {
        let probe = Probe::new(table, who);
        let victims = [self.victim.clone()];
        let answer =
            who.act_within(PROBE_TIMEOUT_MS, || -> Result<Option<Reached>, Undecidable> {
                let effective = row_security::effective(command(reach), &table.named)?;
                for column in owner_columns(&probe, reach) {
                    let Some(condition) =
                        reach_qual(&probe, reach, &effective, Some(&self.victim), column)?
                    else {
                        continue;
                    };
                    if reach == Reach::Plant {
                        match probe_plant(&probe, &effective, &self.victim, column)? {
                            ProbeResult::Row(place) => {
                                return Ok(Some((vec![place], Vec::new(), condition)));
                            }
                            found if !found.is_safe() => {
                                return Ok(Some((Vec::new(), Vec::new(), condition)));
                            }
                            _ => continue,
                        }
                    }
                    let places =
                        probe.find_rows(&RowScope::OwnedBy(&victims), condition, 1001, f64::MAX)?;
                    if !places.is_empty() {
                        return Ok(Some((
                            places,
                            owners_of_foreign_rows(&probe, condition, MAX_FOREIGN_ROWS)?,
                            condition,
                        )));
                    }
                }
                Ok(None)
            });
        let (places, others, condition) = match answer {
            Ok(Ok(found)) => found?,
            Ok(Err(reason)) => {
                return Some(self.inconclusive(table, who, reach, reason.to_string()));
            }
            Err(stopped) => return Some(self.inconclusive(table, who, reach, stopped.to_string())),
        };
        let mut examination = Examination::new(table, self.application, policies);
        examination.owners = [vec![self.victim.clone()], others.clone()].concat();
        examination.owners.dedup();
        examination.owners.truncate(6);
        examination.owners =
            self.accounts.load_existing(self.application, examination.owners.clone()).ok()?;
        let role = self.application.roles.iter().find(|role| role.oid == who.role)?;
        let stranger = self.application.new_account(role);
        let is_for_all = |place: &RowId| {
            matches!(reaches_row(&examination, &stranger, reach, *place), Ok(Some(true)))
        };
        let (verdict, evidence) = match places.first() {
            Some(place) if who.is_account && is_for_all(place) => (
                Verdict::Leak(Confidence::Observed, Audience::AnyAccount),
                format!("{} reached the same row", stranger.label),
            ),
            Some(place) => classify_foreign_row(
                &examination,
                who,
                reach,
                *place,
                condition,
                &mut self.accounts,
            ),
            None => (Verdict::Leak(Confidence::Proved, Audience::AnyAccount), String::new()),
        };
        let responsible = responsible_policies(&examination, who, reach, places.first().copied());
        let is_leak = matches!(verdict, Verdict::Leak(..));
        let proved = is_leak.then(|| self.remediation(table, policies, reach, who, &responsible));
        let (remediation, proof, refuted) = match proved {
            None => (None, None, String::new()),
            Some(Ok((script, proof))) => (Some(script), Some(proof), String::new()),
            Some(Err(why)) => (None, None, format!("no remediation is printed, as {why}")),
        };
        let mut users = others.clone();
        users.sort();
        users.dedup();
        Some(AccessPath {
            kind: match (table.is_secured, reach) {
                (false, _) => "grant",
                (true, _) if is_leak => "policy",
                _ => "relationship",
            },
            object: format!("table {}", table.named.name),
            reach: reach.rule(),
            verdict: verdict.as_str(),
            identity: who.label.clone(),
            victim_rows: places.len() as i64,
            other_rows: (reach != Reach::Plant).then_some(others.len() as i64),
            other_users: (reach != Reach::Plant).then_some(users.len() as i64),
            through: responsible.iter().map(|policy| policy.name.clone()).collect(),
            evidence: [
                verdict.remark(),
                evidence,
                table.trigger_caveat(reach).unwrap_or_default(),
                refuted,
            ]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(": "),
            remediation,
            proof,
            count_query: None,
        })
    }

    fn inconclusive(&self, table: &Table, who: &Identity, reach: Reach, why: String) -> AccessPath {
        AccessPath {
            kind: "policy",
            object: format!("table {}", table.named.name),
            reach: reach.rule(),
            verdict: "INCONCLUSIVE",
            identity: who.label.clone(),
            victim_rows: 0,
            other_rows: None,
            other_users: None,
            through: Vec::new(),
            evidence: why,
            remediation: None,
            proof: None,
            count_query: None,
        }
    }

    /// A proved remediation of a path and the proof. It must close the path for the reader, and
    /// keep the rows of the victim and of all who are entitled to theirs. `Err` is the reason why
    /// there is none.
    fn remediation(
        &mut self,
        table: &'a Table,
        policies: &[Policy],
        reach: Reach,
        who: &Identity,
        responsible: &[Policy],
    ) -> Result<(String, String), String> {
        let victim = self.victim.clone();
        let still_reaches = || still_reaches(table, reach, who, &victim);
        if table.is_secured {
            let script =
                self.prover.remediation(table, reach, responsible, Some(&still_reaches))?;
            return Ok((script, PROVED.to_owned()));
        }
        let script = remediation::of_unsecured_table(self.application, table, policies)
            .ok_or("no key or policy tells the only owner column of the table")?;
        let role = self.application.user_role().cloned();
        let victim = role.and_then(|role| self.identity(&role, &victim).ok());
        let keeps =
            || victim.as_ref().and_then(|victim| prove_remediation::sees_own(table, victim));
        let proof = Proof { reaches: &still_reaches, keeps: &keeps, table: Some(table.oid()) };
        let proof = prove_remediation::prove(&script, &proof);
        if proof.starts_with("PROVED") { Ok((script, proof)) } else { Err(proof) }
    }
}

/// Whether an identity reaches a row of the victim; `Err` is the reason why that is INCONCLUSIVE.
fn still_reaches(
    table: &Table,
    reach: Reach,
    who: &Identity,
    victim: &str,
) -> Result<bool, String> {
    let probe = Probe::new(table, who);
    let victims = [victim.to_owned()];
    let answer = who.act_within(PROBE_TIMEOUT_MS, || -> Result<bool, Undecidable> {
        let effective = row_security::effective(command(reach), &table.named)?;
        for column in owner_columns(&probe, reach) {
            let Some(condition) = reach_qual(&probe, reach, &effective, Some(victim), column)?
            else {
                continue;
            };
            let does = match reach {
                Reach::Plant => !matches!(
                    probe_plant(&probe, &effective, victim, column)?,
                    ProbeResult::Verdict(
                        Verdict::Isolated | Verdict::IsolatedIn(_) | Verdict::Closed
                    )
                ),
                _ => {
                    let scope = RowScope::OwnedBy(&victims);
                    probe.first_row(&scope, condition, f64::MAX)?.is_some()
                }
            };
            if does {
                return Ok(true);
            }
        }
        Ok(false)
    });
    match answer {
        Ok(Ok(does)) => Ok(does),
        Ok(Err(unclear)) => Err(unclear.to_string()),
        Err(stopped) => Err(stopped.to_string()),
    }
}

/// The owners of the foreign rows that meet a qual.
fn owners_of_foreign_rows(
    probe: &Probe<'_>,
    condition: Qual,
    most: u64,
) -> Result<Vec<String>, Undecidable> {
    let (Some((sql, parameters)), Some(owner)) =
        (probe.query(&RowScope::Foreign)?, probe.table.owners.first())
    else {
        return Ok(Vec::new());
    };
    let column = format!("SELECT {} FROM", owner.sql());
    let sql = sql.replacen("SELECT t.tableoid, t.ctid FROM", &column, 1);
    let found = RowQuery { sql: &sql, parameters }.rows(condition, most, f64::MAX)?;
    let lookup = |sql: &str, key| {
        let query = RowQuery { sql, parameters: Parameters::new(&[key]) };
        let rows = query.rows(Qual::ALWAYS, 1, f64::MAX).ok()?;
        rows.first().and_then(|row| row.first()).copied().flatten()
    };
    Ok(found
        .into_iter()
        .filter_map(|row| row.first().copied().flatten())
        .flat_map(|value| owner.users_of(value, &lookup))
        .collect())
}

/// All access paths from one user to another. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn trace_access(
    p_reader: Option<pgrx::Uuid>,
    p_victim: Option<pgrx::Uuid>,
) -> Result<MaterializedRows<12>, ErrorReport> {
    const EXAMPLE: &str = "SELECT * FROM crewsnow_ops.trace_access(\
        '7ad0e310-c2be-f807-be7c-3ae492be0185', '455fd432-8aea-dba6-9dd2-bf666d2846f3');";
    let null = |argument| ServerError::NullArgument { argument, example: EXAMPLE };
    let reader_id = p_reader.ok_or_else(|| null("p_reader"))?.to_string();
    let victim = p_victim.ok_or_else(|| null("p_victim"))?.to_string();
    if reader_id == victim {
        return Err(RlsError::SameUser { example: EXAMPLE }.into());
    }
    let audit = Audit::prepare(None)?;
    let mut trace = Trace {
        application: &audit.application,
        accounts: AccountPool::find(&audit.application)?,
        prover: Prover::new(&audit, vec![victim.clone()])?,
        victim,
    };
    let mut paths = Vec::new();
    let roles = trace.application.roles.clone();
    for (place, role) in roles.iter().enumerate().filter(|(_, role)| role.is_client) {
        let identities = match role.is_anonymous {
            true => vec![trace.application.without_claims(role), trace.application.anon_key(role)],
            false => vec![trace.identity(role, &reader_id)?],
        };
        for who in &identities {
            let tables = audit.tables.iter().map(|(table, _)| table);
            for table in tables.filter(|table| !table.owners.is_empty()) {
                let policies = audit.policies_of(table.oid());
                let found = crate::pg::memory::in_temporary_context(|| {
                    isolated(|| trace.paths_of_table(table, policies, place, who))
                });
                paths.extend(found.unwrap_or_else(|failure| {
                    let why = failure.redacted_message();
                    vec![trace.inconclusive(table, who, Reach::Read, why)]
                }));
            }
            if !role.is_anonymous {
                paths.extend(trace.paths_of_views(role, who)?);
                paths.extend(trace.paths_of_functions(role, who)?);
            }
        }
    }
    let _facts = policy::cache_facts(Rc::clone(&audit.facts));
    let found = rules::findings(&audit.application);
    for path in &mut paths {
        trace.complete(path, &found, &reader_id)?;
    }
    remove_duplicates(&mut paths);
    let touched: Vec<u32> = audit
        .tables
        .iter()
        .map(|(table, _)| table)
        .filter(|table| {
            paths.iter().any(|path| path.object == format!("table {}", table.named.name))
        })
        .map(|table| table.oid().to_u32())
        .collect();
    // Findings of catalog rules about the same tables.
    for finding in found {
        let concerns = finding.relation.is_some_and(|relation| touched.contains(&relation));
        if concerns
            && finding.severity <= Severity::Medium
            && !paths
                .iter()
                .any(|path| finding.object.ends_with(&path.object) || path.object == finding.object)
        {
            paths.push(AccessPath {
                kind: "rule",
                object: finding.object.clone(),
                reach: finding.rule,
                verdict: finding.confidence.as_str(),
                identity: String::new(),
                victim_rows: 0,
                other_rows: None,
                other_users: None,
                through: Vec::new(),
                evidence: finding.detail.clone(),
                // It is not tried here: `prove_remediation` does.
                remediation: None,
                proof: None,
                count_query: None,
            });
        }
    }
    let rank = |path: &AccessPath| {
        ["LEAK", "PROVED", "SUSPECTED", "INCONCLUSIVE", "SHARED"]
            .iter()
            .position(|verdict| *verdict == path.verdict)
    };
    paths.sort_by(|a, b| (rank(a), &a.object, a.reach).cmp(&(rank(b), &b.object, b.reach)));
    Ok(rows(paths))
}

/// Drops duplicates: the anonymous key mostly reaches the same rows as a request without claims.
fn remove_duplicates(paths: &mut Vec<AccessPath>) {
    let mut seen = std::collections::BTreeSet::new();
    paths.retain(|path| {
        let role = path.identity.split(' ').next().unwrap_or_default().to_owned();
        seen.insert((path.object.clone(), path.reach, role, path.victim_rows, path.verdict))
    });
}

fn rows(paths: Vec<AccessPath>) -> MaterializedRows<12> {
    MaterializedRows(
        paths
            .into_iter()
            .map(|path| {
                [
                    text(path.kind),
                    text(path.object),
                    text(path.reach),
                    text(path.verdict),
                    text(path.identity),
                    path.victim_rows.into_datum(),
                    path.other_rows.into_datum(),
                    path.other_users.into_datum(),
                    path.through.into_datum(),
                    text(path.evidence),
                    text(path.remediation.unwrap_or_default()),
                    text(path.proof.unwrap_or_default()),
                ]
            })
            .collect(),
    )
}
