//! Policies, and the facts about their clauses that the rules need.

use super::application::Application;
pub use super::clause::{Analysis, ClauseFacts};
use super::function_bodies::add_function_bodies;
use super::identity::Identity;
use super::null_tests::fold_null_tests;
use super::owner_column::OwnerColumn;
use super::owners::owner_columns;
use crate::pg::backend_local::BackendLocal;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::cstring::c_string;
use crate::pg::memory;
use crate::pg::rewrite::claims::{ClaimUses, claim_uses};
use crate::pg::rewrite::policy_expr;
use crate::pg::rewrite::policy_expr::{ExprFacts, Expression, IdentitySources};
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::{Command, RelationRef, Undecidable};
use crate::pg::rewrite::user_comparison::UserComparisons;
use crate::pg::xact::subtransaction::isolated;
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::error::RlsError;
use pgrx::prelude::*;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A row of pg_policy.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Oid of the policy.
    pub oid: pg_sys::Oid,
    /// Oid of the table.
    pub relation: pg_sys::Oid,
    /// Name, not quoted.
    pub name: String,
    /// Command as in pg_policy: r, a, w, d or *.
    pub command: char,
    /// Whether the policy is PERMISSIVE, not RESTRICTIVE.
    pub is_permissive: bool,
    /// Roles that it applies to; 0 is PUBLIC.
    pub roles: Vec<pg_sys::Oid>,
    /// USING as pg_node_tree text; `None` if there is none.
    pub using: Option<Rc<str>>,
    /// WITH CHECK as pg_node_tree text; `None` if there is none.
    pub check: Option<Rc<str>>,
}

impl Policy {
    /// Whether the policy applies to a command of a role.
    pub fn applies_to(&self, command: Command, role: pg_sys::Oid) -> bool {
        let letter = match command {
            Command::Select => 'r',
            Command::Insert => 'a',
            Command::Update => 'w',
            Command::Delete => 'd',
        };
        let is_member = |of: &pg_sys::Oid| privilege::has_those_of(role, *of);
        (self.command == '*' || self.command == letter) && self.roles.iter().any(is_member)
    }

    /// The qual of this policy alone, for new rows or for existing ones; `None` if it has none.
    pub fn qual(
        &self,
        on: &RelationRef,
        is_about_new_rows: bool,
    ) -> Result<Option<Qual>, Undecidable> {
        let tree = if is_about_new_rows {
            self.check.as_ref().or(self.using.as_ref())
        } else {
            self.using.as_ref()
        };
        tree.map(|tree| row_security::policy_condition(on, &c_string(tree))).transpose()
    }
}

/// The policies of a table and of those that it references. No others tell its owner columns.
pub fn policies_of_referenced(table: pg_sys::Oid) -> Result<Vec<Policy>, RlsError> {
    let sql = include_str!("../../../sql/rls/referenced_tables.sql");
    // A query of Spi::connect needs no transaction id.
    let tables = Spi::connect(|client| {
        client.select(sql, Some(1), &[table.into()])?.first().get_one::<Vec<pg_sys::Oid>>()
    })?;
    policies_on(Some(tables.unwrap_or_else(|| vec![table])))
}

/// All policies, or those of one table.
pub fn policies(relation: Option<pg_sys::Oid>) -> Result<Vec<Policy>, RlsError> {
    policies_on(relation.map(|relation| vec![relation]))
}

fn policies_on(tables: Option<Vec<pg_sys::Oid>>) -> Result<Vec<Policy>, RlsError> {
    Spi::connect(|client| {
        let mut policies = Vec::new();
        for row in
            client.select(include_str!("../../../sql/rls/policies.sql"), None, &[tables.into()])?
        {
            policies.push(Policy {
                oid: row.get(1)?.unwrap_or(pg_sys::InvalidOid),
                relation: row.get(2)?.unwrap_or(pg_sys::InvalidOid),
                name: row.get(3)?.unwrap_or_default(),
                command: row
                    .get::<String>(4)?
                    .and_then(|command| command.chars().next())
                    .unwrap_or('*'),
                is_permissive: row.get(5)?.unwrap_or(true),
                roles: row.get(6)?.unwrap_or_default(),
                using: row.get::<String>(7)?.map(Rc::from),
                check: row.get::<String>(8)?.map(Rc::from),
            });
        }
        Ok(policies)
    })
}

/// Facts of the running audit, so that the rules' SQL functions do not compute them again.
struct FactsCache {
    facts: Rc<[ClauseFacts]>,
    /// SQL text of each clause, or the reason why there is none.
    sql_texts: OnceCell<Vec<Result<String, String>>>,
    owners: OnceCell<HashMap<u32, Vec<OwnerColumn>>>,
}

static CACHE: BackendLocal<Option<Rc<FactsCache>>> = BackendLocal::new(None);

/// Guard: while it lives, `rls_policy_facts` and `rls_owner_columns` answer from the cache.
pub struct CachedFacts;

/// Caches these facts until the guard is dropped.
pub fn cache_facts(facts: Rc<[ClauseFacts]>) -> CachedFacts {
    CACHE.with(|cache| *cache = Some(Rc::new(FactsCache::new(facts))));
    CachedFacts
}

impl Drop for CachedFacts {
    fn drop(&mut self) {
        CACHE.with(|cache| *cache = None);
    }
}

impl FactsCache {
    fn new(facts: Rc<[ClauseFacts]>) -> Self {
        Self { facts, sql_texts: OnceCell::new(), owners: OnceCell::new() }
    }

    /// The cached facts, or fresh ones if there is no cache.
    fn get() -> Result<Rc<Self>, RlsError> {
        match CACHE.with(|cache| cache.clone()).flatten() {
            Some(cached) => Ok(cached),
            None => Ok(Rc::new(Self::new(clause_facts(&policies(None)?, &Application::read()?)))),
        }
    }

    fn sql_texts(&self) -> &[Result<String, String>] {
        self.sql_texts.get_or_init(|| {
            self.facts.iter().map(|clause| sql_text(&clause.tree, clause.relation)).collect()
        })
    }

    /// Owner columns of all tables.
    fn owners(&self) -> Result<&HashMap<u32, Vec<OwnerColumn>>, RlsError> {
        if let Some(owners) = self.owners.get() {
            return Ok(owners);
        }
        let application = Application::read()?;
        Ok(self.owners.get_or_init(|| owner_columns(&application, &compared_columns(&self.facts))))
    }
}

/// Clauses that are simplified in one subtransaction, as each costs time.
const BATCH_SIZE: usize = 100;

/// Collects the facts about every clause of the policies.
pub fn clause_facts(policies: &[Policy], application: &Application) -> Rc<[ClauseFacts]> {
    let settings: Vec<String> =
        application.claims.iter().map(|(setting, _)| setting.clone()).collect();
    let ids: Vec<String> = application
        .claims
        .iter()
        .filter(|(_, claim)| claim == "sub")
        .map(|(setting, _)| setting.clone())
        .collect();
    let identity = IdentitySources {
        functions: &application.identity_functions,
        settings: &settings,
        ids: &ids,
        claims: &application.claims,
    };
    let role = application.user_role().or(application.anonymous());
    let client = role.map(|role| application.without_claims(role));
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
                functions_read_time: false,
                claims: ClaimUses::new(),
                analysis: Analysis::Complete,
            });
        }
    }
    for clauses in found.chunks_mut(BATCH_SIZE) {
        analyse(clauses, client.as_ref(), &identity);
    }
    let clauses =
        found.iter_mut().map(|clause| (&*clause.tree, clause.relation, &mut clause.constant));
    fold_null_tests(clauses, application);
    add_function_bodies(&mut found, application);
    found.into()
}

/// SQL text of a clause. It fails by a lock timeout on the table, for example.
pub fn sql_text(tree: &str, relation: pg_sys::Oid) -> Result<String, String> {
    isolated(|| policy_expr::deparsed(tree, relation)).map_err(|failure| failure.redacted_message())
}

/// Facts of an expression, the claims that it reads, and the constant that it folds to.
type Facts = (ExprFacts, ClaimUses, Option<&'static str>);

/// Analyses the clauses in one subtransaction. If one of them fails or times out, all do; then each
/// is analysed by itself.
fn analyse(clauses: &mut [ClauseFacts], client: Option<&Identity>, identity: &IdentitySources<'_>) {
    let collected = |clause: &ClauseFacts| {
        let expression = Expression::parse(&c_string(&clause.tree));
        let mut facts = ExprFacts::default();
        expression.collect(identity, &mut facts);
        (expression, facts, claim_uses(expression, clause.relation, identity))
    };
    let simplified = |clause: &ClauseFacts| -> Facts {
        let (expression, mut facts, claims) = collected(clause);
        let (inner, constant) = simplify(expression, identity);
        merge_inlined(&mut facts, inner);
        (facts, claims, constant)
    };
    let plain = |clause: &ClauseFacts| -> Facts {
        let (_, facts, claims) = collected(clause);
        (facts, claims, None)
    };
    // With the rights of a client role, as folding calls IMMUTABLE functions.
    let all = memory::in_temporary_context(|| match client {
        Some(client) => client
            .act_within(PROBE_TIMEOUT_MS, || clauses.iter().map(simplified).collect())
            .map_err(|stopped| stopped.to_string()),
        None => isolated(|| clauses.iter().map(plain).collect())
            .map_err(|failure| failure.redacted_message()),
    });
    let why = match all {
        Ok(all) => {
            let all: Vec<Facts> = all;
            for (clause, found) in clauses.iter_mut().zip(all) {
                (clause.facts, clause.claims, clause.constant) = found;
            }
            return;
        }
        Err(why) => why,
    };
    let [clause] = clauses else {
        for clause in clauses.chunks_mut(1) {
            analyse(clause, client, identity);
        }
        return;
    };
    match memory::in_temporary_context(|| isolated(|| plain(clause))) {
        Ok(found) => {
            (clause.facts, clause.claims, clause.constant) = found;
            clause.analysis = Analysis::NotSimplified(why);
        }
        Err(_) => clause.analysis = Analysis::Failed(why),
    }
}

/// Facts inside of SQL functions that the planner would inline, and the constant that the
/// expression folds to.
fn simplify(
    expression: Expression,
    identity: &IdentitySources<'_>,
) -> (ExprFacts, Option<&'static str>) {
    let simple = expression.simplified();
    let mut inner = ExprFacts::default();
    simple.collect(identity, &mut inner);
    let constant = simple.constant().map(|value| match value {
        Some(true) => "true",
        Some(false) => "false",
        None => "null",
    });
    (inner, constant)
}

/// The clauses of policies that the running audit's rules did not see as SQL: the table, the
/// policy, and the reason.
pub fn undeparsed() -> Vec<(pg_sys::Oid, pg_sys::Oid, String)> {
    let Some(cached) = CACHE.with(|cache| cache.clone()).flatten() else { return Vec::new() };
    let texts = cached.sql_texts.get().into_iter().flatten();
    let clauses = cached.facts.iter().zip(texts);
    clauses
        .filter_map(|(clause, text)| {
            Some((clause.relation, clause.policy, text.as_ref().err()?.clone()))
        })
        .collect()
}

/// Merges facts of inlined functions. Columns and calls are left out: after inlining they are no
/// longer those of the policy.
fn merge_inlined(facts: &mut ExprFacts, inner: ExprFacts) {
    facts.functions.extend(inner.functions);
    facts.operators.extend(inner.operators);
    facts.claim_keys.extend(inner.claim_keys);
    facts.settings.extend(inner.settings);
    facts.relations.extend(inner.relations);
    for literal in inner.literal_identities {
        if !facts.literal_identities.contains(&literal) {
            facts.literal_identities.insert(without_value(literal));
        }
    }
    facts.owner_columns.extend(inner.owner_columns);
    facts.user.merge_inlined(inner.user);
    facts.uses_session_user |= inner.uses_session_user;
    facts.reads_time |= inner.reads_time;
    facts.reads_connection |= inner.reads_connection;
}

/// A literal that is not in the policy's own text, without its value but in the same form. It may
/// be the result of a function that reads rows, even if it is declared IMMUTABLE.
fn without_value(literal: String) -> String {
    let is_id = (32..=36).contains(&literal.len())
        && literal.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if lookup::role(&literal).is_some() {
        literal
    } else if is_id {
        "00000000-0000-0000-0000-000000000000".to_owned()
    } else if literal.contains('@') {
        "hidden@hidden".to_owned()
    } else {
        "hidden".to_owned()
    }
}

/// How policies compare rows with the request's user, by table.
pub fn compared_columns(facts: &[ClauseFacts]) -> HashMap<u32, UserComparisons> {
    let mut compared: HashMap<u32, UserComparisons> = HashMap::new();
    for clause in facts {
        compared.entry(clause.relation.to_u32()).or_default().merge(&clause.facts.user);
    }
    compared
}

/// Facts about the clauses of all policies. See the COMMENT on the SQL function.
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
    let cached = FactsCache::get()?;
    let oids = |oids: std::collections::BTreeSet<u32>| {
        oids.into_iter().map(pg_sys::Oid::from).collect::<Vec<_>>()
    };
    let rows: Vec<_> = cached
        .facts
        .iter()
        .zip(cached.sql_texts())
        .filter(|(clause, _)| !matches!(clause.analysis, Analysis::Failed(_)))
        .map(|(clause, expression)| {
            let facts = clause.facts.clone();
            (
                clause.policy,
                clause.clause,
                expression.clone().unwrap_or_default(),
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

/// Owner columns of all tables. See the COMMENT on the SQL function.
#[pg_extern(schema = "crewsnow_ops", requires = ["rls"])]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity)]
fn rls_owner_columns() -> Result<
    TableIterator<
        'static,
        (name!(relation, pg_sys::Oid), name!(attnum, i16), name!(basis, &'static str)),
    >,
    pg_sys::panic::ErrorReport,
> {
    let cached = FactsCache::get()?;
    let columns = cached.owners()?.iter().flat_map(|(relation, columns)| {
        columns.iter().map(|column| (pg_sys::Oid::from(*relation), column.number, column.basis))
    });
    Ok(TableIterator::new(columns.collect::<Vec<_>>()))
}
