//! The policies of tables, and what they are made of.

use super::application::Surroundings;
use super::owners::owner_columns;
use super::table::OwnerColumn;
use crate::pg::backend_local::BackendLocal;
use crate::pg::catalog::privilege;
use crate::pg::cstring::c_string;
use crate::pg::memory;
use crate::pg::rewrite::policy_expr;
use crate::pg::rewrite::policy_expr::{ExprFacts, Expression, IdentitySources};
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::{Command, RelationRef, Undecidable};
use crate::pg::xact::subtransaction::isolated;
use crate::pg::xact::{sec_context, timeout};
use crate::rls::engine::examine::LIMIT;
use crate::rls::error::RlsError;
use pgrx::prelude::*;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A policy.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Its oid.
    pub oid: pg_sys::Oid,
    /// Its table.
    pub relation: pg_sys::Oid,
    /// Its name.
    pub name: String,
    /// r, a, w, d or *, as pg_policy has it.
    pub command: char,
    /// Whether it lets through, or only narrows what others let through.
    pub is_permissive: bool,
    /// For whom; 0 is everybody.
    pub roles: Vec<pg_sys::Oid>,
    /// USING, in the catalog's form.
    pub using: Option<Rc<str>>,
    /// WITH CHECK, in the catalog's form.
    pub check: Option<Rc<str>>,
}

impl Policy {
    /// Whether it has a say in a command of a role.
    pub fn is_about(&self, command: Command, role: pg_sys::Oid) -> bool {
        let letter = match command {
            Command::Select => 'r',
            Command::Insert => 'a',
            Command::Update => 'w',
            Command::Delete => 'd',
        };
        let is_for = |of: &pg_sys::Oid| privilege::has_those_of(role, *of);
        (self.command == '*' || self.command == letter) && self.roles.iter().any(is_for)
    }

    /// What it says of existing rows, or of new ones, alone.
    pub fn condition(&self, on: &RelationRef, is_about_new: bool) -> Result<Option<Qual>, Undecidable> {
        let tree = if is_about_new { self.check.as_ref().or(self.using.as_ref()) } else { self.using.as_ref() };
        tree.map(|tree| row_security::policy_condition(on, &c_string(tree))).transpose()
    }
}

/// All policies, or those of one table.
pub fn policies(relation: Option<pg_sys::Oid>) -> Result<Vec<Policy>, RlsError> {
    Spi::connect(|client| {
        let tables = relation.map(|relation| vec![relation]);
        let mut policies = Vec::new();
        for row in client.select(include_str!("../../../sql/rls/policies.sql"), None, &[tables.into()])? {
            policies.push(Policy {
                oid: row.get(1)?.unwrap_or(pg_sys::InvalidOid),
                relation: row.get(2)?.unwrap_or(pg_sys::InvalidOid),
                name: row.get(3)?.unwrap_or_default(),
                command: row.get::<String>(4)?.and_then(|command| command.chars().next()).unwrap_or('*'),
                is_permissive: row.get(5)?.unwrap_or(true),
                roles: row.get(6)?.unwrap_or_default(),
                using: row.get::<String>(7)?.map(Rc::from),
                check: row.get::<String>(8)?.map(Rc::from),
            });
        }
        Ok(policies)
    })
}

/// What is known of one clause of a policy.
#[derive(Debug, Clone)]
pub struct ClauseFacts {
    /// The policy.
    pub policy: pg_sys::Oid,
    /// Its table.
    pub relation: pg_sys::Oid,
    /// `using` or `check`.
    pub clause: &'static str,
    /// The clause, in the catalog's form.
    pub tree: Rc<str>,
    /// true, false or null, if it is a constant.
    pub constant: Option<&'static str>,
    /// What it is made of.
    pub facts: ExprFacts,
    /// Settings that the functions which it calls name in their bodies.
    pub inner_settings: Vec<String>,
    /// Whether it may tell an anonymous sign-in from another one: it asks for the claim, or such a function does.
    pub tells_guests: bool,
}

/// What is known of the policies of an audit that is under way, so that each rule need not find it out again.
struct Known {
    facts: Rc<[ClauseFacts]>,
    /// The clauses as SQL.
    written: OnceCell<Vec<String>>,
    owners: OnceCell<HashMap<u32, Vec<OwnerColumn>>>,
}

static KNOWN: BackendLocal<Option<Rc<Known>>> = BackendLocal::new(None);

/// Keeps facts for `rls_policy_facts` and `rls_owner_columns` as long as it lives.
pub struct Keeping;

/// Keeps these facts.
pub fn keep(facts: Rc<[ClauseFacts]>) -> Keeping {
    KNOWN.with(|known| *known = Some(Rc::new(Known::new(facts))));
    Keeping
}

impl Drop for Keeping {
    fn drop(&mut self) {
        KNOWN.with(|known| *known = None);
    }
}

impl Known {
    fn new(facts: Rc<[ClauseFacts]>) -> Self {
        Self { facts, written: OnceCell::new(), owners: OnceCell::new() }
    }

    /// What is kept, or what is so now.
    fn get() -> Result<Rc<Self>, RlsError> {
        match KNOWN.with(|known| known.clone()).flatten() {
            Some(known) => Ok(known),
            None => Ok(Rc::new(Self::new(facts(&policies(None)?, &Surroundings::read()?)))),
        }
    }

    fn written(&self) -> &[String] {
        self.written.get_or_init(|| self.facts.iter().map(|clause| written(&clause.tree, clause.relation)).collect())
    }

    /// Whose rows are, in all tables.
    fn owners(&self) -> Result<&HashMap<u32, Vec<OwnerColumn>>, RlsError> {
        if let Some(owners) = self.owners.get() {
            return Ok(owners);
        }
        let surroundings = Surroundings::read()?;
        Ok(self.owners.get_or_init(|| owner_columns(&surroundings, &compared_columns(&self.facts))))
    }
}

/// As many clauses are simplified together: each on its own takes a subtransaction.
const TOGETHER: usize = 100;

/// Finds out what policies are made of.
pub fn facts(policies: &[Policy], surroundings: &Surroundings) -> Rc<[ClauseFacts]> {
    let settings: Vec<String> = surroundings.claims.iter().map(|(setting, _)| setting.clone()).collect();
    let ids: Vec<String> =
        surroundings.claims.iter().filter(|(_, claim)| claim == "sub").map(|(setting, _)| setting.clone()).collect();
    let who = IdentitySources { functions: &surroundings.identity_functions, settings: &settings, ids: &ids };
    let client = surroundings.user_role().or(surroundings.anonymous()).map(|role| role.oid);
    let mut found: Vec<ClauseFacts> = Vec::new();
    for policy in policies {
        for (clause, tree) in [("using", &policy.using), ("check", &policy.check)] {
            let Some(tree) = tree else { continue };
            found.push(ClauseFacts {
                policy: policy.oid,
                relation: policy.relation,
                clause,
                tree: Rc::clone(tree),
                constant: None,
                facts: ExprFacts::default(),
                inner_settings: Vec::new(),
                tells_guests: false,
            });
        }
    }
    for clauses in found.chunks_mut(TOGETHER) {
        memory::in_temporary_context(|| {
            let expressions: Vec<Expression> =
                clauses.iter().map(|clause| Expression::parse(&c_string(&clause.tree))).collect();
            for (clause, expression) in clauses.iter_mut().zip(&expressions) {
                expression.collect(&who, &mut clause.facts);
            }
            let Some(client) = client else { return };
            // One that fails or takes long fails for all: then each alone.
            let simple = simplify(&expressions, client, &who).unwrap_or_else(|| {
                let one = |expression: &Expression| simplify(&[*expression], client, &who).unwrap_or_default().pop();
                expressions.iter().map(|expression| one(expression).unwrap_or_default()).collect()
            });
            for (clause, (inner, constant)) in clauses.iter_mut().zip(simple) {
                clause.constant = constant;
                add(&mut clause.facts, inner);
            }
        });
    }
    for clause in &mut found {
        clause.tells_guests = clause.facts.claim_keys.contains("is_anonymous");
    }
    look_inside(&mut found, surroundings);
    found.into()
}

/// What the body of a function says: the settings it asks for, whether it reads the connection, and whether it may tell guests.
type Body = (Vec<String>, bool, bool);

/// Adds what the bodies of functions say, as far as that can be read in their text, and not what these call in turn.
fn look_inside(clauses: &mut [ClauseFacts], surroundings: &Surroundings) {
    let known = |function: &u32| surroundings.identity_functions.contains(&pg_sys::Oid::from(*function));
    let called = clauses.iter().flat_map(|clause| clause.facts.functions.iter());
    let mut called: Vec<u32> =
        called.filter(|function| **function >= pg_sys::FirstNormalObjectId && !known(function)).copied().collect();
    called.sort_unstable();
    called.dedup();
    if called.is_empty() {
        return;
    }
    let oids: Vec<pg_sys::Oid> = called.into_iter().map(pg_sys::Oid::from).collect();
    let read = || -> Result<HashMap<u32, Body>, RlsError> {
        Spi::connect(|client| {
            let mut found = HashMap::new();
            for row in
                client.select(include_str!("../../../sql/rls/function_bodies.sql"), None, &[oids.clone().into()])?
            {
                let function: pg_sys::Oid = row.get(1)?.unwrap_or(pg_sys::InvalidOid);
                let is = |column| row.get::<bool>(column).map(Option::unwrap_or_default);
                found.insert(function.to_u32(), (row.get(2)?.unwrap_or_default(), is(3)?, is(4)?));
            }
            Ok(found)
        })
    };
    // A function that is being dropped is not looked into.
    let bodies = match isolated(read) {
        Ok(bodies) => bodies.unwrap_or_default(),
        Err(_) => return,
    };
    for clause in clauses {
        let called = clause.facts.functions.iter().filter_map(|function| bodies.get(function));
        for (settings, reads_connection, tells_guests) in called {
            clause.inner_settings.extend(settings.iter().cloned());
            clause.facts.reads_connection |= reads_connection;
            clause.tells_guests |= tells_guests;
        }
    }
}

/// A clause as SQL. Writing it takes a lock on its table, for which somebody may have us wait too long.
fn written(tree: &str, relation: pg_sys::Oid) -> String {
    isolated(|| policy_expr::deparsed(tree, relation)).unwrap_or_default()
}

/// What is found besides inside of SQL functions that the planner would inline; and whether the clause is a constant. With the rights of a
/// client, as IMMUTABLE functions are called. `None` where that failed.
fn simplify(
    expressions: &[Expression],
    client: pg_sys::Oid,
    who: &IdentitySources<'_>,
) -> Option<Vec<(ExprFacts, Option<&'static str>)>> {
    let (simple, has_expired) = timeout::with_timeout(LIMIT, || {
        let simplify = |expression: &Expression| {
            let simple = expression.simplified();
            let mut inner = ExprFacts::default();
            simple.collect(who, &mut inner);
            let constant = simple.constant().map(|value| match value {
                Some(true) => "true",
                Some(false) => "false",
                None => "null",
            });
            (inner, constant)
        };
        let work = || expressions.iter().map(simplify).collect();
        sec_context::as_client(client, &[], std::panic::AssertUnwindSafe(work))
    });
    match simple {
        Ok(found) => Some(found),
        Err(failure) if failure.is_interrupt() && !has_expired => failure.raise(),
        Err(_) => None,
    }
}

/// Adds what was found inside of what is called, where columns and calls are no longer those that somebody wrote.
fn add(facts: &mut ExprFacts, inner: ExprFacts) {
    facts.functions.extend(inner.functions);
    facts.operators.extend(inner.operators);
    facts.claim_keys.extend(inner.claim_keys);
    facts.settings.extend(inner.settings);
    facts.relations.extend(inner.relations);
    facts.literal_identities.extend(inner.literal_identities);
    facts.owner_columns.extend(inner.owner_columns);
    facts.user_columns.extend(inner.user_columns);
    facts.uses_session_user |= inner.uses_session_user;
    facts.reads_time |= inner.reads_time;
    facts.reads_connection |= inner.reads_connection;
}

/// The columns that policies compare with who asks, by table.
pub fn compared_columns(facts: &[ClauseFacts]) -> HashMap<u32, Vec<i16>> {
    let mut columns: HashMap<u32, Vec<i16>> = HashMap::new();
    for clause in facts {
        let of = columns.entry(clause.relation.to_u32()).or_default();
        for column in &clause.facts.user_columns {
            if !of.contains(column) {
                of.push(*column);
            }
        }
    }
    columns
}

/// The clauses of all policies, and what each is made of. See the COMMENT on the SQL function.
#[pg_extern(schema = "crewsnow_ops", requires = ["rls"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn rls_policy_facts() -> Result<
    TableIterator<
        'static,
        (
            name!(policy, pg_sys::Oid),
            name!(clause, &'static str),
            name!(expression, String),
            name!(constant, Option<&'static str>),
            name!(columns, Vec<i16>),
            name!(functions, Vec<pg_sys::Oid>),
            name!(operators, Vec<pg_sys::Oid>),
            name!(identity_calls, i32),
            name!(unwrapped_identity_calls, i32),
            name!(is_volatile, bool),
            name!(relations, Vec<pg_sys::Oid>),
            name!(uncorrelated_relations, Vec<pg_sys::Oid>),
            name!(claim_keys, Vec<String>),
            name!(settings, Vec<String>),
            name!(uses_session_user, bool),
            name!(literal_identities, Vec<String>),
            name!(owner_columns, Vec<i16>),
        ),
    >,
    pg_sys::panic::ErrorReport,
> {
    let known = Known::get()?;
    let oids = |oids: std::collections::BTreeSet<u32>| oids.into_iter().map(pg_sys::Oid::from).collect::<Vec<_>>();
    let rows: Vec<_> = known
        .facts
        .iter()
        .zip(known.written())
        .map(|(clause, expression)| {
            let facts = clause.facts.clone();
            (
                clause.policy,
                clause.clause,
                expression.clone(),
                clause.constant,
                facts.columns.into_iter().collect(),
                oids(facts.functions),
                oids(facts.operators),
                facts.identity_calls,
                facts.unwrapped_identity_calls,
                facts.is_volatile,
                oids(facts.relations),
                oids(facts.uncorrelated_relations),
                facts.claim_keys.into_iter().collect(),
                facts.settings.into_iter().collect(),
                facts.uses_session_user,
                facts.literal_identities.into_iter().collect(),
                facts.owner_columns.into_iter().collect(),
            )
        })
        .collect();
    Ok(TableIterator::new(rows))
}

/// Whose rows are, in all tables. See the COMMENT on the SQL function.
#[pg_extern(schema = "crewsnow_ops", requires = ["rls"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn rls_owner_columns() -> Result<
    TableIterator<'static, (name!(relation, pg_sys::Oid), name!(attnum, i16), name!(basis, &'static str))>,
    pg_sys::panic::ErrorReport,
> {
    let known = Known::get()?;
    let columns = known.owners()?.iter().flat_map(|(relation, columns)| {
        columns.iter().map(|column| (pg_sys::Oid::from(*relation), column.number, column.basis))
    });
    Ok(TableIterator::new(columns.collect::<Vec<_>>()))
}
