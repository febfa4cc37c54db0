//! Proves remediations of policies without DDL: examines the tables again while this backend
//! applies the changed policies, and compares all reaches of all identities.

use super::remediation::{self, Proposal};
use crate::pg::catalog::{constraint, lookup};
use crate::pg::cstring::c_string;
use crate::pg::memory;
use crate::pg::rewrite::monotonic::{Narrowed, is_narrowed_with};
use crate::pg::rewrite::policy_overlay::{NotApplied, with_changed_policies};
use crate::pg::xact::subtransaction::isolated;
use crate::rls::audit::Audit;
use crate::rls::engine::cell::Cell;
use crate::rls::engine::comparison::{Difference, DifferenceKind, differences};
use crate::rls::engine::entitled_rows::{
    EntitledRows, References, Whose, entitled_rows, lost, membership_tables, references,
};
use crate::rls::engine::examination::Examination;
use crate::rls::engine::examine::cells_again;
use crate::rls::engine::reach_probe::command;
use crate::rls::error::RlsError;
use crate::rls::model::{Finding, Reach};
use crate::rls::target::accounts::AccountPool;
use crate::rls::target::claims::ClaimPlan;
use crate::rls::target::policy::Policy;
use crate::rls::target::table::Table;
use crate::settings;
use pgrx::prelude::*;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

/// How often a proof is tried while the server discards the changed policies.
const ATTEMPTS: usize = 3;

/// Most owners that are sampled of a table.
const OWNER_SAMPLE: usize = 6;

/// Tells under the changed policies whether the access path of an incident is still open; `Err` is
/// the reason why that is INCONCLUSIVE.
pub type StillReaches<'a> = &'a dyn Fn() -> Result<bool, String>;

/// Proves remediations of one audit.
pub struct Prover<'a> {
    audit: &'a Audit,
    /// Users whose rows are compared in any case.
    users: Vec<String>,
    accounts: AccountPool,
    references: Option<References>,
    /// Facts that the prover has read itself, by table: readers, owners and cells.
    readers: HashMap<u32, Result<Vec<u32>, String>>,
    owners: HashMap<u32, Vec<String>>,
    cells: HashMap<u32, Rc<Vec<Cell>>>,
    /// The effects of scripts, by table.
    effects: HashMap<(u32, String), Result<Rc<Effects>, String>>,
}

/// The present state of a table that a remediation must keep.
struct Before {
    entitled: Vec<EntitledRows>,
    /// Membership tables whose teams the table belongs to.
    memberships: Vec<String>,
}

/// Oid and name of a table.
type TableName = (u32, String);

/// The effects of a script that changes policies of a table.
struct Effects {
    /// The differences on the table and on those whose policies read it.
    differences: Vec<(TableName, Vec<Difference>)>,
    /// The entitled rows that it takes, as the rest of a sentence.
    lost: Option<String>,
    /// Whether the access path of an incident is still open.
    still_reaches: bool,
}

/// The state under a remediation: cells by table, entitled rows, and whether the access path is
/// still open.
type After<'a> = (Vec<(&'a Table, Vec<Cell>)>, Vec<EntitledRows>, Result<bool, String>);

impl<'a> Prover<'a> {
    /// A prover for an audit, which may be only prepared. A remediation must keep the rows of these
    /// users, beside those of others.
    pub fn new(audit: &'a Audit, users: Vec<String>) -> Result<Self, RlsError> {
        let mut accounts = AccountPool::find(&audit.application)?;
        let users = accounts.load_existing(&audit.application, users)?;
        Ok(Self {
            audit,
            users,
            accounts,
            references: None,
            readers: HashMap::new(),
            owners: HashMap::new(),
            cells: HashMap::new(),
            effects: HashMap::new(),
        })
    }

    /// Adds a proved remediation to each finding about a leak or an open write, or the reason why
    /// there is none.
    pub fn complete(&mut self, findings: &mut [Finding]) {
        for finding in findings {
            let reach = reach_of(finding.rule);
            let Some((reach, relation)) = reach.zip(finding.relation) else { continue };
            let audit = self.audit;
            let Some((table, cells)) = audit.table(relation) else { continue };
            let responsible = audit.responsible(cells, reach);
            match self.remediation(table, reach, &responsible, None) {
                Ok(script) => finding.remediation = Some(script),
                Err(why) => {
                    finding.evidence += &format!(". No remediation is printed: {why}.");
                }
            }
        }
    }

    /// The first remediation of a reach that is proved; `Err` is the reason why there is none.
    pub fn remediation(
        &mut self,
        table: &Table,
        reach: Reach,
        responsible: &[Policy],
        still_reaches: Option<StillReaches<'_>>,
    ) -> Result<String, String> {
        let audit = self.audit;
        let all = audit.policies_of(table.oid());
        let proposals = match table.owners.is_empty() {
            true => remediation::of_open_write(table, reach, responsible),
            false => remediation::of_leak(&audit.application, table, reach, responsible, all),
        };
        let mut first_reason = None;
        for proposal in proposals {
            match self.prove(table, reach, &proposal, still_reaches) {
                Ok(()) => return Ok(proposal.script),
                Err(why) => first_reason = first_reason.or(Some(why)),
            }
        }
        Err(first_reason.unwrap_or_else(|| match table.owners.is_empty() {
            true => "no policy can be narrowed without taking reads".to_owned(),
            false => "no policy can be restricted to owners, as no owner column can be compared \
                      with the identity function"
                .to_owned(),
        }))
    }

    /// Proves that a remediation closes a reach, opens none, and takes no rows from those who are
    /// entitled to them. `Err` is the reason why not.
    fn prove(
        &mut self,
        table: &Table,
        reach: Reach,
        proposal: &Proposal,
        still_reaches: Option<StillReaches<'_>>,
    ) -> Result<(), String> {
        let name = &proposal.name;
        let effects = self.effects(table, &proposal.script, still_reaches);
        let effects = effects.map_err(|why| format!("{name} could not be proved ({why})"))?;
        if effects.still_reaches {
            return Err(format!("{name} does not close it"));
        }
        let is_same = |other: &TableName| other.0 == table.oid().to_u32();
        let refuted = effects.differences.iter().find_map(|(other, found)| {
            refutation(found, is_same(other).then_some(reach), &other.1)
        });
        match refuted.or(effects.lost.clone()) {
            Some(why) => Err(format!("{name} {why}")),
            None => Ok(()),
        }
    }

    /// Proves that a script which changes policies of a table opens no reach, and takes no rows
    /// from those who are entitled to them. `Err` is the reason why not, as the rest of a sentence.
    pub fn prove_harmless(&mut self, table: &Table, script: &str) -> Result<(), String> {
        let effects = self.effects(table, script, None);
        let effects = effects.map_err(|why| format!("could not be proved ({why})"))?;
        let is_harm = |difference: &&Difference| match difference.kind {
            DifferenceKind::Opened | DifferenceKind::Undecided => true,
            DifferenceKind::Lost => !difference.is_without_owner,
            DifferenceKind::StillOpen | DifferenceKind::LeakClosed => false,
        };
        let harm = effects.differences.iter().find_map(|(other, found)| {
            let harm: Vec<Difference> = found.iter().filter(is_harm).cloned().collect();
            refutation(&harm, None, &other.1)
        });
        match harm.or(effects.lost.clone()) {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }

    /// The effects of a script on the reaches of a table and its readers; `Err` is the reason why
    /// they are unknown.
    fn effects(
        &mut self,
        table: &Table,
        script: &str,
        still_reaches: Option<StillReaches<'_>>,
    ) -> Result<Rc<Effects>, String> {
        if !settings::policy_overlay() {
            return Err("crewsnow_ops.policy_overlay is off".to_owned());
        }
        // Several reaches of a table often have the same remediation.
        let key = (table.oid().to_u32(), script.to_owned());
        if let Some(known) = self.effects.get(&key).filter(|_| still_reaches.is_none()) {
            return known.clone();
        }
        let effects = self.effects_anew(table, script, still_reaches).map(Rc::new);
        if still_reaches.is_none() {
            self.effects.insert(key, effects.clone());
        }
        effects
    }

    fn effects_anew(
        &mut self,
        table: &Table,
        script: &str,
        still_reaches: Option<StillReaches<'_>>,
    ) -> Result<Effects, String> {
        if Instant::now() >= self.audit.end {
            return Err("crewsnow_ops.audit_time is used up".to_owned());
        }
        let readers = self.readers_of(table)?;
        let attempt = |prover: &mut Self| {
            isolated(|| {
                memory::in_temporary_context(|| {
                    prover.examine_under(table, &readers, script, still_reaches)
                })
            })
        };
        let mut result = attempt(self);
        for _ in 1..ATTEMPTS {
            if !matches!(result, Ok(Err(NotApplied::Discarded))) {
                break;
            }
            result = attempt(self);
        }
        let (before, (after, entitled, reaches)) = match result {
            Ok(Ok(examined)) => examined,
            Ok(Err(why)) => return Err(why.to_string()),
            Err(failure) => return Err(failure.redacted_message()),
        };
        let lost = lost(&before.entitled, &entitled).map(|rows| match rows.whose {
            Whose::Own => "would take rows from their owners".to_owned(),
            Whose::Team => format!(
                "would take rows from team members (table {})",
                before.memberships.join(", ")
            ),
        });
        let compared = after.iter().map(|(other, cells)| {
            let name = (other.oid().to_u32(), other.named.name.clone());
            (name, differences(&self.cells_of(other), cells))
        });
        Ok(Effects { differences: compared.collect(), lost, still_reaches: reaches? })
    }

    /// The state of a table now, and that of the table and its readers under changed policies.
    fn examine_under<'b>(
        &mut self,
        table: &'b Table,
        readers: &[u32],
        script: &str,
        still_reaches: Option<StillReaches<'_>>,
    ) -> Result<(Before, After<'b>), NotApplied>
    where
        'a: 'b,
    {
        let audit = self.audit;
        let readers: Vec<&'b Table> =
            readers.iter().filter_map(|reader| Some(&audit.table(*reader)?.0)).collect();
        // All that is compared must be known before: probes of the same table are not repeated.
        for table in readers.iter().copied().chain([table]) {
            self.cells_of(table);
        }
        let (entitled, memberships) = self.entitled(table);
        let is_of_teams = !memberships.is_empty();
        let after = with_changed_policies(&table.named, script, || {
            let mut cells = Vec::new();
            for table in std::iter::once(table).chain(readers) {
                let again = cells_again(&self.examination(table), &mut self.accounts);
                cells.push((table, again));
            }
            let then = self.examination(table);
            let entitled = entitled_rows(&then, &self.users, is_of_teams, &mut self.accounts);
            (cells, entitled, still_reaches.map_or(Ok(false), |still_reaches| still_reaches()))
        })?;
        Ok((Before { entitled, memberships }, after))
    }

    /// The rows of a table that some users are entitled to and reach now, and the membership tables
    /// whose teams the table belongs to.
    pub fn entitled(&mut self, table: &Table) -> (Vec<EntitledRows>, Vec<String>) {
        let memberships = self.memberships(table);
        let now = self.examination(table);
        let is_of_teams = !memberships.is_empty();
        (entitled_rows(&now, &self.users, is_of_teams, &mut self.accounts), memberships)
    }

    /// The membership tables whose teams a table belongs to.
    pub fn memberships(&mut self, table: &Table) -> Vec<String> {
        self.learn_references();
        let now = self.examination(table);
        self.references.as_ref().map_or_else(Vec::new, |references| {
            membership_tables(&now, references, &mut self.accounts)
        })
    }

    /// The present cells of a table: those of the audit if it has examined it.
    fn cells_of(&mut self, table: &Table) -> Rc<Vec<Cell>> {
        let oid = table.oid().to_u32();
        if let Some(known) = self.cells.get(&oid) {
            return Rc::clone(known);
        }
        let audited = self.audit.table(oid).map(|(_, cells)| cells).filter(|c| !c.is_empty());
        let cells = match audited {
            Some(cells) => cells.clone(),
            None => cells_again(&self.examination(table), &mut self.accounts),
        };
        let cells = Rc::new(cells);
        self.cells.insert(oid, Rc::clone(&cells));
        cells
    }

    /// An examination of a table with the owners that the audit sampled, or a sample of its own.
    fn examination<'b>(&mut self, table: &'b Table) -> Examination<'b>
    where
        'a: 'b,
    {
        let (audit, oid) = (self.audit, table.oid().to_u32());
        let policies = audit.policies_of(table.oid());
        let mut examination = Examination::new(table, &audit.application, policies);
        let known = audit.owners.get(&oid).or(self.owners.get(&oid)).cloned();
        examination.owners = known.unwrap_or_else(|| {
            let sample = isolated(|| table.sample_owners(&audit.application, OWNER_SAMPLE));
            let sample = sample.ok().and_then(Result::ok).unwrap_or_default();
            let owners = self.accounts.load_existing(&audit.application, sample);
            let owners = owners.unwrap_or_default();
            self.owners.insert(oid, owners.clone());
            owners
        });
        examination.facts = audit.facts_of(table.oid());
        examination.claims = ClaimPlan::of(&audit.application, examination.facts);
        examination
    }

    fn learn_references(&mut self) {
        if self.references.is_some() {
            return;
        }
        let audit = self.audit;
        let is_owner = |table: pg_sys::Oid, column: i16| {
            audit
                .table(table.to_u32())
                .is_some_and(|(table, _)| table.owners.iter().any(|owner| owner.number == column))
        };
        self.references = Some(references(&constraint::keys_and_references(), &is_owner));
    }

    /// The tables with policies that read this one. `Err` names a policy that may let more rows
    /// through once this table shows fewer.
    fn readers_of(&mut self, table: &Table) -> Result<Vec<u32>, String> {
        let oid = table.oid().to_u32();
        if let Some(known) = self.readers.get(&oid) {
            return known.clone();
        }
        let readers = narrowed_with(self.audit, table.oid());
        self.readers.insert(oid, readers.clone());
        readers
    }
}

/// The reach that a rule reports.
pub fn reach_of(rule: &str) -> Option<Reach> {
    match rule {
        "open-insert" => Some(Reach::Forge),
        "open-delete" => Some(Reach::Destroy),
        "open-update" => Some(Reach::Tamper),
        _ => Reach::ALL.into_iter().find(|reach| reach.rule() == rule),
    }
}

/// The table, and what depends on the rows that its policies let through.
pub fn dependents(audit: &Audit, table: pg_sys::Oid) -> Result<Narrowed, RlsError> {
    let mut narrowed = Narrowed::default();
    if !audit.has_readers(table)? {
        narrowed.tables.insert(table.to_u32());
        return Ok(narrowed);
    }
    Spi::connect(|client| {
        let sql = include_str!("../../../sql/rls/policy_readers.sql");
        let arguments = [table.into(), audit.application.identity_functions.clone().into()];
        for row in client.select(sql, None, &arguments)? {
            let object = row.get::<pg_sys::Oid>(1)?.map(pg_sys::Oid::to_u32);
            match row.get::<bool>(2)? {
                Some(true) => narrowed.tables.extend(object),
                _ => narrowed.opaque.extend(object),
            }
        }
        Ok(narrowed)
    })
}

/// The other tables with policies that read a table, directly or not. `Err` names a policy that may
/// let more rows through once the table shows fewer.
pub fn narrowed_with(audit: &Audit, table: pg_sys::Oid) -> Result<Vec<u32>, String> {
    let narrowed = dependents(audit, table).map_err(|error| error.to_string())?;
    for clause in audit.facts.iter() {
        if !narrowed.tables.contains(&clause.relation.to_u32()) {
            continue;
        }
        let is_narrowed = memory::in_temporary_context(|| {
            isolated(|| is_narrowed_with(&c_string(&clause.tree), &narrowed))
        });
        if !is_narrowed.unwrap_or(false) {
            let policy = audit.policies.iter().find(|policy| policy.oid == clause.policy);
            let name = policy.map_or_else(String::new, |policy| policy.name.replace('"', "\"\""));
            let relation = lookup::table_name(clause.relation).unwrap_or_default();
            return Err(format!(
                "policy \"{name}\" on {relation} may let more rows through when it sees fewer"
            ));
        }
    }
    Ok(narrowed.tables.into_iter().filter(|oid| *oid != table.to_u32()).collect())
}

/// The reason why these differences refute a remediation of a reach to a table, as the rest of a
/// sentence. `reach` is `None` for tables that only read the changed one.
fn refutation(found: &[Difference], reach: Option<Reach>, name: &str) -> Option<String> {
    let of_kind = |kind: DifferenceKind| {
        found.iter().find(|difference| {
            difference.kind == kind
                && (kind != DifferenceKind::StillOpen || Some(difference.reach) == reach)
        })
    };
    if let Some(opened) = of_kind(DifferenceKind::Opened) {
        let rule = opened.reach.rule();
        return Some(format!("would open {rule} on {name} to {}", opened.identity));
    }
    if let Some(open) = of_kind(DifferenceKind::StillOpen) {
        return Some(format!("does not close it for {}", open.identity));
    }
    if let Some(unknown) = of_kind(DifferenceKind::Undecided) {
        let rule = unknown.reach.rule();
        return Some(format!("leaves {rule} on {name} INCONCLUSIVE for {}", unknown.identity));
    }
    let lost = found.iter().find(|difference| {
        difference.kind == DifferenceKind::Lost && Some(difference.reach) != reach
    })?;
    let command = command(lost.reach).as_str();
    Some(format!("would also take {command} on {name} from {}", lost.identity))
}
