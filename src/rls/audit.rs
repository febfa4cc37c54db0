//! One run of the audit: every table as every identity, and the findings.

use super::engine::cell::{Cell, worst_cells};
use super::engine::child_rows::ChildRows;
use super::engine::doubt::{doubt, doubt_unanalysed, not_audited};
use super::engine::examination::Examination;
use super::engine::examine::{add_cells_with_settings, add_remaining_cells, cells_without_claims};
use super::engine::parent_rows;
use super::engine::reach_probe;
use super::engine::trusted_tables::{Search, Trusts};
use super::model::{Confidence, Finding, Reach, Severity, Verdict, quoted};
use super::report::verdict_findings::{Audited, responsible_policies};
use super::target::accounts::AccountPool;
use super::target::application::Application;
use super::target::claims::{Assignment, ClaimPlan};
use super::target::policy;
use super::target::policy::{ClauseFacts, Policy};
use super::target::table;
use super::target::table::Table;
use crate::pg::memory;
use crate::pg::xact::subtransaction::isolated;
use crate::rls::error::RlsError;
use crate::settings;
use pgrx::prelude::*;
use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};
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
    /// Tables that audited ones reference and that are not audited themselves.
    parents: Vec<Table>,
    /// Tables that policies trust and that users write; empty before [`Audit::find_trusts`].
    pub trusts: Trusts,
    accounts: AccountPool,
    /// Ids of some accounts that own rows, by table.
    pub owners: HashMap<u32, Vec<String>>,
    /// When the time of the audit is used up.
    pub end: Instant,
    /// Tables that others may read; empty before [`Audit::has_readers`].
    with_readers: OnceCell<HashSet<u32>>,
}

impl Audit {
    /// Reads the application, without probing.
    pub fn prepare(only: Option<pg_sys::Oid>) -> Result<Self, RlsError> {
        // As a bound parameter the invalid oid would be NULL.
        if only == Some(pg_sys::Oid::INVALID) {
            const EXAMPLE: &str = "SELECT * FROM crewsnow_ops.rls_matrix('public.messages');";
            return Err(RlsError::NotATable { example: EXAMPLE });
        }
        let mut application = Application::read()?;
        let policies = policy::policies(only)?;
        let facts = policy::clause_facts(&policies, &application);
        application.learn_request_settings(facts.iter().flat_map(ClauseFacts::settings));
        // Policies of referenced tables tell owners, too: they compare keys with the user id.
        let compared = match only {
            None => policy::compared_columns(&facts),
            Some(table) => {
                let referenced = policy::policies_of_referenced(table)?;
                policy::compared_columns(&policy::clause_facts(&referenced, &application))
            }
        };
        let is_asked = |table: &Table| only.is_none_or(|only| table.oid() == only);
        let (tables, parents): (Vec<Table>, Vec<Table>) =
            table::tables(&application, only, &compared)?.into_iter().partition(is_asked);
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
            parents,
            trusts: Trusts::default(),
            accounts: AccountPool::default(),
            owners: HashMap::new(),
            end: Instant::now() + Duration::from_millis(settings::audit_time()),
            with_readers: OnceCell::new(),
        })
    }

    /// Audits all tables that client roles reach, or one.
    pub fn run(only: Option<pg_sys::Oid>) -> Result<Self, RlsError> {
        Self::examined(Self::prepare(only)?)
    }

    /// Audits some of the tables that client roles reach.
    pub fn run_on(tables: &BTreeSet<u32>) -> Result<Self, RlsError> {
        let mut audit = Self::prepare(None)?;
        let is_asked = |(table, _): &(Table, Vec<Cell>)| tables.contains(&table.oid().to_u32());
        let (asked, others) = audit.tables.into_iter().partition(is_asked);
        audit.tables = asked;
        audit.parents = others.into_iter().map(|(table, _)| table).collect();
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
        let Self { application, policies, facts, tables, parents, owners: known_owners, .. } =
            &mut audit;
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
        let of_one = |table: &Table| {
            (
                of_table(policies, table.oid(), |policy| policy.relation),
                of_table(facts, table.oid(), |clause| clause.relation),
            )
        };
        // The claims to try on each table; `None` if its audit has ended.
        let mut plans: Vec<Option<ClaimPlan>> = Vec::new();
        for ((table, cells), owners) in tables.iter_mut().zip(owners) {
            let (policies, facts) = of_one(table);
            let mut examine = |owners: Vec<String>| {
                let mut examination = Examination::new(table, application, policies);
                known_owners.insert(table.oid().to_u32(), owners.clone());
                examination.owners = owners;
                examination.facts = facts;
                examination.claims = ClaimPlan::of(application, facts);
                add_remaining_cells(&examination, cells, &mut accounts);
                Ok(examination.claims)
            };
            let plan = owners
                .map(|owners| in_time(table).and_then(|()| surviving(table, || examine(owners))));
            plans.push(plan.and_then(|plan| {
                plan.map_err(|error| {
                    cells.extend(not_audited(table, application, &error.to_string()));
                })
                .ok()
            }));
        }
        for place in 0..tables.len() {
            let (policies, facts) = of_one(&tables[place].0);
            let examine = |tables: &[(Table, Vec<Cell>)], accounts: &mut AccountPool| {
                let (table, cells) = &tables[place];
                let all = tables.iter().map(|(table, _)| table).chain(&*parents);
                let parents =
                    parent_rows::parents(table, &all, application, known_owners, accounts)?;
                if parents.is_empty() {
                    return Ok(Vec::new());
                }
                let mut examination = Examination::new(table, application, policies);
                examination.facts = facts;
                Ok(ChildRows { examination: &examination, parents }.cells(cells, accounts))
            };
            let table = &tables[place].0;
            if !(table.is_secured && table.is_reachable()) || in_time(table).is_err() {
                continue;
            }
            // Without these cells, the owner of the rows stays unknown.
            let cells = surviving(table, || examine(tables, &mut accounts)).unwrap_or_default();
            tables[place].1.extend(cells);
        }
        for ((table, cells), plan) in tables.iter_mut().zip(plans) {
            let (policies, facts) = of_one(table);
            let mut untried = BTreeSet::new();
            if let Some(plan) = plan {
                untried.clone_from(&plan.untried);
                let has_settings = plan.assignments.iter().any(Assignment::has_settings);
                let examine = || {
                    let mut examination = Examination::new(table, application, policies);
                    examination.owners =
                        known_owners.get(&table.oid().to_u32()).cloned().unwrap_or_default();
                    examination.facts = facts;
                    examination.claims = plan;
                    add_cells_with_settings(&examination, cells, &mut accounts);
                    Ok(())
                };
                let examined = match has_settings {
                    true => in_time(table).and_then(|()| surviving(table, examine)),
                    false => Ok(()),
                };
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
        let of_table = |(table, cells): &(Table, Vec<Cell>)| {
            let (policies, facts) = (self.policies_of(table.oid()), self.facts_of(table.oid()));
            Audited { table, cells, policies, facts, tables: &self.tables }.findings()
        };
        self.tables.iter().flat_map(of_table).collect()
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

    /// Whether policies of other tables, views or functions may read a table. `false` is certain.
    pub fn has_readers(&self, table: pg_sys::Oid) -> Result<bool, RlsError> {
        let audited = || self.tables.iter().map(|(table, _)| table.oid());
        if !audited().any(|known| known == table) {
            return Ok(true);
        }
        let known = match self.with_readers.get() {
            Some(known) => known,
            None => {
                let read = Spi::connect(|client| {
                    let sql = include_str!("../../sql/rls/tables_with_readers.sql");
                    let tables: Vec<pg_sys::Oid> = audited().collect();
                    let mut found = HashSet::new();
                    for row in client.select(sql, None, &[tables.into()])? {
                        found.extend(row.get::<pg_sys::Oid>(1)?.map(pg_sys::Oid::to_u32));
                    }
                    Ok::<_, RlsError>(found)
                })?;
                self.with_readers.get_or_init(|| read)
            }
        };
        Ok(known.contains(&table.to_u32()))
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
