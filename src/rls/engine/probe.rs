//! Runs bounded queries that look for a row of a table as one identity.

use super::probe_cache::ProbeCache;
use super::rows::{ColumnValue, RowId, RowScope};
use crate::pg::catalog::privilege;
use crate::pg::rewrite::qual::{ConstFolded, Qual};
use crate::pg::rewrite::row_security::{Command, Effective, RowQuery, Undecidable};
use crate::pg::rewrite::value::{Parameters, value_of};
use crate::rls::model::{Audience, Verdict};
use crate::rls::target::identity::Identity;
use crate::rls::target::owner_column::{OwnerColumn, OwnerKind};
use crate::rls::target::table::Table;
use pgrx::pg_sys;
use std::rc::Rc;

/// Highest cost, by the planner's estimate, of a query that looks for a row: about half a second.
pub const MAX_COST: f64 = 50_000.0;

/// The reason of a verdict on a table without foreign rows.
pub const NO_FOREIGN_ROWS: &str = "the table has no rows of other users";

/// Probes one table as one identity. Callers run it inside `Identity::act_within`.
pub struct Probe<'a> {
    /// The probed table.
    pub table: &'a Table,
    /// The identity whose claims and role apply.
    pub identity: &'a Identity,
    pub(crate) cache: Rc<ProbeCache>,
}

/// The result of probing one reach.
pub enum ProbeResult {
    /// A verdict that needs no row.
    Verdict(Verdict),
    /// A foreign row that is reached.
    Row(RowId),
    /// A candidate row that passes the write policies, by the columns the writer chose.
    Candidate(Vec<ColumnValue>),
}

impl ProbeResult {
    /// Whether no foreign row was found to be reached.
    pub fn is_safe(&self) -> bool {
        !matches!(
            self,
            Self::Row(_)
                | Self::Candidate(_)
                | Self::Verdict(Verdict::Leak(..) | Verdict::Public(_))
        )
    }

    /// Whether this result shows a wider reach, or is less certain that there is none.
    pub fn is_worse_than(&self, other: &Self) -> bool {
        let rank = |result: &Self| match result {
            Self::Verdict(Verdict::Closed) => 0,
            Self::Verdict(Verdict::Isolated) => 1,
            Self::Verdict(Verdict::IsolatedIn(_)) => 2,
            Self::Verdict(Verdict::Inconclusive(_)) => 3,
            _ => 4,
        };
        rank(self) > rank(other)
    }
}

impl From<Undecidable> for Verdict {
    fn from(reason: Undecidable) -> Self {
        Self::Inconclusive(reason.to_string())
    }
}

impl<'a> Probe<'a> {
    /// A probe with an empty cache.
    pub fn new(table: &'a Table, identity: &'a Identity) -> Self {
        Self { table, identity, cache: Rc::default() }
    }

    /// The query of the rows in a scope (tableoid, ctid); `None` if the scope cannot have any.
    pub fn query(&self, scope: &RowScope<'_>) -> Result<Option<(String, Parameters)>, Undecidable> {
        self.query_of("t.tableoid, t.ctid", scope)
    }

    /// The query of columns of the rows in a scope, with the alias `t`; `None` if the scope cannot
    /// have any.
    pub(crate) fn query_of(
        &self,
        columns: &str,
        scope: &RowScope<'_>,
    ) -> Result<Option<(String, Parameters)>, Undecidable> {
        let (mut terms, mut values) = (Vec::new(), Vec::new());
        let mut bind = |type_: pg_sys::Oid, value: pg_sys::Datum| {
            values.push((type_, value));
            format!("${}", values.len())
        };
        let owners = &self.table.owners;
        let me = self.identity.user.as_deref();
        match scope {
            RowScope::At((table, ctid)) => {
                terms.push(format!(
                    "t.tableoid OPERATOR(pg_catalog.=) {}",
                    bind(pg_sys::OIDOID, (*table).into())
                ));
                terms
                    .push(format!("t.ctid OPERATOR(pg_catalog.=) {}", bind(pg_sys::TIDOID, *ctid)));
            }
            RowScope::Any => {}
            RowScope::Own(index) => {
                let (Some(owner), Some(me)) = (owners.get(*index), me) else { return Ok(None) };
                terms.push(owner.names(&bind(owner.type_, owner.value(me)?)));
            }
            RowScope::Foreign | RowScope::OwnedBy(_) => {
                if let RowScope::OwnedBy(users) = scope {
                    let Some(owner) = owners.first() else { return Ok(None) };
                    let (array, list) = owner.values(users)?;
                    terms.push(owner.names_any(&bind(array, list)));
                }
                if let Some(me) = me {
                    for owner in owners {
                        let me = bind(owner.type_, owner.value(me)?);
                        terms.push(owner.names_others(&me, owners.len() == 1));
                    }
                    for participant in &self.table.participants {
                        let me = bind(participant.type_, participant.value(me)?);
                        terms.push(participant.names_others(&me, false));
                    }
                }
                let is_list = |owner: &OwnerColumn| matches!(owner.kind, OwnerKind::List);
                if owners.len() > 1
                    || (me.is_none() && !owners.is_empty())
                    || owners.first().is_some_and(is_list)
                {
                    let has_owner: Vec<String> =
                        owners.iter().map(OwnerColumn::names_any_user).collect();
                    terms.push(format!("({})", has_owner.join(" OR ")));
                }
            }
        }
        let filter = if terms.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", terms.join(" AND "))
        };
        Ok(Some((
            format!("SELECT {columns} FROM {} AS t{filter}", self.table.named.name),
            Parameters::new(&values),
        )))
    }

    /// The first row in a scope that satisfies a qual, at no more than this planner cost.
    pub fn first_row(
        &self,
        scope: &RowScope<'_>,
        qual: Qual,
        cost: f64,
    ) -> Result<Option<RowId>, Undecidable> {
        Ok(self.find_rows(scope, qual, 1, cost)?.pop())
    }

    /// Up to `limit` rows in a scope that satisfy a qual, at no more than this planner cost.
    pub fn find_rows(
        &self,
        scope: &RowScope<'_>,
        qual: Qual,
        limit: u64,
        cost: f64,
    ) -> Result<Vec<RowId>, Undecidable> {
        self.cache.find_rows(scope, qual, (limit, cost), |qual| {
            let Some((sql, parameters)) = self.query(scope)? else { return Ok(Vec::new()) };
            let found = RowQuery { sql: &sql, parameters }.rows(qual, limit, cost)?;
            self.cache.record_run(qual);
            Ok(found.iter().filter_map(|row| row_id(row)).collect())
        })
    }

    /// Whether a qual alone rules out every foreign row.
    pub fn excludes_foreign_rows(&self, qual: Qual) -> Result<bool, Undecidable> {
        Ok(match self.cache.fold(qual) {
            ConstFolded::True => false,
            ConstFolded::False => true,
            ConstFolded::Residual(folded) => match self.foreign_qual()? {
                ConstFolded::True => false,
                ConstFolded::False => true,
                ConstFolded::Residual(foreign) => folded.refutes(foreign),
            },
        })
    }

    /// The qual of foreign rows, folded with the identity's claims.
    pub(crate) fn foreign_qual(&self) -> Result<ConstFolded, Undecidable> {
        self.cache.foreign_qual(|| {
            let Some((sql, parameters)) = self.query(&RowScope::Foreign)? else {
                return Ok(ConstFolded::False);
            };
            let foreign = RowQuery { sql: &sql, parameters };
            Ok(foreign.condition()?.fold(&foreign.parameters))
        })
    }

    /// Executes the sub-queries of the policies once, so that a missing privilege on a table they
    /// read fails here as it fails a request. A qual with values put in may no longer read it.
    pub fn run_sub_queries(&self, effective: &Effective) -> Result<(), Undecidable> {
        let new_terms = self.cache.terms_not_run(effective.using.and(effective.check));
        if new_terms.has_sub_queries() {
            // No row ever has this ctid: line pointers count from 1.
            let no_row = (self.table.oid(), value_of(pg_sys::TIDOID, c"(0,0)"));
            self.first_row(&RowScope::At(no_row), new_terms, f64::MAX)?;
        }
        Ok(())
    }

    /// The verdict after a search without a hit: ISOLATED among the rows that were there, or
    /// INCONCLUSIVE if there was none.
    pub fn no_row_found(&self, owners: &[String]) -> Result<Verdict, Undecidable> {
        if owners.is_empty()
            && self.first_row(&RowScope::Foreign, Qual::ALWAYS, f64::MAX)?.is_none()
        {
            return Ok(Verdict::Inconclusive(NO_FOREIGN_ROWS.to_owned()));
        }
        Ok(Verdict::IsolatedIn(self.table.estimated_rows.max(owners.len().max(1) as i64)))
    }

    /// The audience of a leak that follows from the policies for this identity.
    pub fn audience(&self) -> Audience {
        self.identity.audience
    }

    /// Whether a row is owned by the identity.
    pub fn is_own(&self, row: RowId) -> Result<bool, Undecidable> {
        let foreign = match self.foreign_qual()? {
            ConstFolded::Residual(qual) => qual,
            ConstFolded::True => return Ok(false),
            ConstFolded::False => return Ok(true),
        };
        Ok(self.first_row(&RowScope::At(row), foreign, f64::MAX)?.is_none())
    }

    /// Whether the role may write a column. Self-test tables count as granted.
    pub(crate) fn may_write(&self, column: i16, command: Command) -> bool {
        let table = self.table.oid();
        (self.table.is_self_test
            || privilege::on_column(self.identity.role, table, column, command))
            && !privilege::is_generated(table, column)
    }
}

/// The address of a row from its tableoid and ctid.
pub(crate) fn row_id(row: &[Option<pg_sys::Datum>]) -> Option<RowId> {
    match row {
        [Some(table), Some(ctid)] => Some((pg_sys::Oid::from(table.value() as u32), *ctid)),
        _ => None,
    }
}
