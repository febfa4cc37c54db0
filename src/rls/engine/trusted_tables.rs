//! Goes through the tables whose policies read other tables. Tries whether users can write the rows
//! that decide there, and whether they can put rows into teams of others.

use super::foreign_team::TeamRows;
use super::membership::{Trial, Written};
use super::trust_site::{Insertable, sites};
use crate::pg::memory;
use crate::pg::rewrite::row_security::Command;
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::error::RlsError;
use crate::rls::model::{Audience, Severity};
use crate::rls::target::accounts::AccountPool;
use crate::rls::target::application::Application;
use crate::rls::target::policy::ClauseFacts;
use crate::rls::target::roles::Role;
use crate::rls::target::table::Table;
use crate::rls::target::table_shape::TableShape;
use pgrx::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// A table into which users write the rows by which policies decide.
pub struct SelfWritten {
    /// Index of the trusted table.
    pub members: usize,
    /// Index of the table that shows the worst.
    pub trusting: usize,
    /// Index of the membership table whose check trusts it, if it is one of invitations.
    pub through: Option<usize>,
    /// Indexes of the tables whose rows are opened, with the commands.
    pub opened: Vec<(usize, Command)>,
    /// Indexes of all tables with policies that trust it.
    pub readers: Vec<usize>,
    /// The row.
    pub written: Written,
    /// The users who can write it.
    pub audience: Audience,
    /// Labels of the identities that could.
    pub identities: Vec<String>,
    /// Urgency.
    pub severity: Severity,
    /// Text about triggers that may refuse the row.
    pub caveat: Option<String>,
}

/// A table whose rows users put into teams of others.
pub struct ForeignTeam {
    /// Index of the table.
    pub table: usize,
    /// Index of the membership table.
    pub members: usize,
    /// INSERT or UPDATE.
    pub command: Command,
    /// The column that names the team.
    pub column: i16,
    /// The users who can do it.
    pub audience: Audience,
    /// Labels of the identities that could.
    pub identities: Vec<String>,
    /// Urgency.
    pub severity: Severity,
    /// Text about triggers that may refuse the row.
    pub caveat: Option<String>,
}

/// The results of a search.
#[derive(Default)]
pub struct Trusts {
    /// Trusted tables that users write themselves.
    pub self_written: Vec<SelfWritten>,
    /// Tables with rows in teams of others.
    pub foreign_teams: Vec<ForeignTeam>,
    /// Indexes of tables for which the time was too short, with the reason.
    pub undecided: BTreeMap<usize, String>,
}

/// The search for such tables.
pub struct Search<'a> {
    /// The application.
    pub application: &'a Application,
    /// Facts about the clauses of all policies.
    pub facts: &'a [ClauseFacts],
    /// The audited tables.
    pub tables: Vec<&'a Table>,
    /// Indexes of tables and commands by which a leak is known already.
    pub known_leaks: BTreeSet<(usize, Command)>,
}

/// The state of one search.
pub(super) struct Running<'a> {
    pub(super) search: &'a Search<'a>,
    pub(super) accounts: &'a mut AccountPool,
    pub(super) shapes: HashMap<usize, Rc<TableShape>>,
    pub(super) readers: BTreeMap<usize, Vec<usize>>,
    pub(super) self_written: BTreeMap<usize, SelfWritten>,
    pub(super) foreign_teams: BTreeMap<usize, ForeignTeam>,
    pub(super) undecided: BTreeMap<usize, String>,
    /// Keys of attempts that the checks of trusted tables refused.
    refused: Rc<RefCell<BTreeSet<String>>>,
}

/// A client role with its place in `Application::roles`.
pub(super) type Client<'a> = (usize, &'a Role);

impl Search<'_> {
    /// Tries each trusted table. `is_in_time` tells whether the audit may go on.
    pub fn run(&self, accounts: &mut AccountPool, is_in_time: &dyn Fn() -> bool) -> Trusts {
        let mut running = Running {
            search: self,
            accounts,
            shapes: HashMap::new(),
            readers: BTreeMap::new(),
            self_written: BTreeMap::new(),
            foreign_teams: BTreeMap::new(),
            undecided: BTreeMap::new(),
            refused: Rc::default(),
        };
        for (place, table) in self.tables.iter().enumerate() {
            if !table.is_secured || !table.is_reachable() || !self.reads_elsewhere(table) {
                continue;
            }
            for client in self.application.roles.iter().enumerate() {
                if !client.1.is_client || client.1.is_anonymous {
                    continue;
                }
                if is_in_time() {
                    memory::in_temporary_context(|| running.of_table(place, client));
                } else {
                    let why = "crewsnow_ops.audit_time is used up".to_owned();
                    running.undecided.insert(place, why);
                }
            }
        }
        for (members, of) in running.readers {
            if let Some(found) = running.self_written.get_mut(&members) {
                found.readers = of;
            }
        }
        Trusts {
            self_written: running.self_written.into_values().collect(),
            foreign_teams: running.foreign_teams.into_values().collect(),
            undecided: running.undecided,
        }
    }

    /// Whether a policy of the table has a sub-query or calls a function of the application.
    fn reads_elsewhere(&self, table: &Table) -> bool {
        let is_own = |function: &u32| {
            *function >= pg_sys::FirstNormalObjectId
                && !self.application.identity_functions.contains(&pg_sys::Oid::from(*function))
        };
        self.facts.iter().filter(|clause| clause.relation == table.oid()).any(|clause| {
            !clause.facts.relations.is_empty() || clause.facts.functions.iter().any(is_own)
        })
    }
}

impl Running<'_> {
    fn shape(&mut self, place: usize) -> Option<Rc<TableShape>> {
        if let Some(known) = self.shapes.get(&place) {
            return Some(Rc::clone(known));
        }
        let shape = Rc::new(TableShape::read(self.search.tables[place].oid()).ok()?);
        self.shapes.insert(place, Rc::clone(&shape));
        Some(shape)
    }

    fn of_table(&mut self, place: usize, client: Client<'_>) {
        let search = self.search;
        let table = search.tables[place];
        let refused = Rc::clone(&self.refused);
        let newcomer = search.application.new_account(client.1);
        let sites =
            newcomer.act_within(PROBE_TIMEOUT_MS, || sites(search.application, table, client.0));
        let Ok(Ok(sites)) = sites else { return };
        let clauses = search.facts.iter().filter(|clause| clause.relation == table.oid());
        let plain: BTreeSet<u32> =
            clauses.flat_map(|clause| clause.facts.relations.iter().copied()).collect();
        if sites.is_empty() {
            return;
        }
        let may_insert =
            |other: &&Table| other.is_secured && other.allows(client.0, Command::Insert);
        let others: Vec<Insertable<'_>> = search
            .tables
            .iter()
            .enumerate()
            .filter(|(_, other)| may_insert(other))
            .map(|(place, table)| Insertable { place, table })
            .collect();
        for site in &sites {
            let named = named_in(&site.opaque).unwrap_or_default();
            for (index, members) in search.tables.iter().enumerate() {
                let oid = members.oid().to_u32();
                let columns = named.get(&oid);
                if !members.is_secured || !(site.relations.contains(&oid) || columns.is_some()) {
                    continue;
                }
                let (Some(shape), Some(own)) = (self.shape(index), self.shape(place)) else {
                    continue;
                };
                let trial = Trial {
                    trusting: table,
                    site,
                    members,
                    shape: &shape,
                    users: search.application.users.as_ref().map(|users| users.table),
                    kept: &search.application.identity_functions,
                    others: &others,
                    is_plain: plain.contains(&oid),
                    is_unsure: Cell::new(columns.is_some()),
                    refused: &refused,
                    insertable: RefCell::default(),
                };
                self.try_to_join((place, index), &trial, &own, client, columns);
                if site.command == Command::Select && index != place {
                    let rows = TeamRows { table, shape: &own, site };
                    self.try_to_cross((place, index), &trial, &rows, client);
                }
            }
        }
    }
}

/// The tables that the bodies of functions name, with the named columns.
fn named_in(functions: &BTreeSet<u32>) -> Result<HashMap<u32, Vec<i16>>, RlsError> {
    let mut named: HashMap<u32, Vec<i16>> = HashMap::new();
    if functions.is_empty() {
        return Ok(named);
    }
    let oids: Vec<pg_sys::Oid> = functions.iter().map(|oid| pg_sys::Oid::from(*oid)).collect();
    Spi::connect(|client| {
        let sql = include_str!("../../../sql/rls/body_tables.sql");
        for row in client.select(sql, None, &[oids.into()])? {
            let table: pg_sys::Oid = row.get(2)?.unwrap_or(pg_sys::InvalidOid);
            let columns: Vec<i16> = row.get(3)?.unwrap_or_default();
            named.entry(table.to_u32()).or_default().extend(columns);
        }
        Ok(named)
    })
}
