//! Asks one policy about one row, term by term, and finds the values behind a term that fails.

use super::judgement::{Judgement, Term, Truth, without_outer_parentheses};
use super::question::Question;
use super::relation::listed;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::cstring::c_string;
use crate::pg::rewrite::evaluation::{
    Condition, is_existence_test, objects, request_values, type_of, unrewritten, values_for,
};
use crate::pg::rewrite::qual::Qual;
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::Command;
use crate::pg::rewrite::value::text_of;
use crate::pg::xact::sec_context::as_role;
use crate::pg::xact::subtransaction::{Failure, isolated};
use crate::pg::xact::timeout::Stopped;
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::target::policy;
use crate::rls::target::policy::Policy;
use pgrx::pg_sys;

/// Longest text of a value that an explanation shows, in characters.
const MAX_VALUE: usize = 80;

/// The answer of a policy.
pub enum Outcome {
    /// Its value, part by part.
    Judged(Judgement),
    /// It raises an error.
    Failed(String),
    /// It could not be asked.
    Undecided(String),
}

/// Asks a policy about the row of a question.
pub fn judge(question: &Question<'_>, policy: &Policy) -> Outcome {
    let Some(tree) = question.clause(policy) else {
        let sql = "a policy without a clause for this command".to_owned();
        return Outcome::Judged(Judgement::Term(Term {
            sql,
            truth: Truth::False,
            facts: Vec::new(),
        }));
    };
    let tree = c_string(tree);
    let ask = || -> Result<Outcome, String> {
        let shown = unrewritten(&tree);
        let condition = |is_open: bool| match shown.has_sub_queries() {
            false => Ok(shown),
            true if is_open => {
                let superuser = pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID);
                as_role(superuser, || {
                    row_security::policy_condition(&question.relation.named, &tree)
                })
            }
            true => row_security::policy_condition(&question.relation.named, &tree),
        };
        let asked = isolated(|| condition(false)).map_err(|failure| failing(&failure, None))?;
        let asked = match asked {
            Ok(asked) => asked,
            Err(reason) => return Ok(Outcome::Undecided(reason.to_string())),
        };
        let parts = Parts { question, open: &|| condition(true) };
        parts.outcome(shown, asked)
    };
    match question.identity.act_within(PROBE_TIMEOUT_MS, ask) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(message)) => Outcome::Failed(message),
        Err(Stopped::TimedOut(ms)) => {
            Outcome::Undecided(format!("The policy was canceled after {ms} ms."))
        }
        Err(Stopped::Failed(failure)) if failure.is_sandbox_violation() => Outcome::Undecided(
            "The policy does more than read, which an explanation does not run.".to_owned(),
        ),
        Err(Stopped::Failed(failure)) => Outcome::Failed(failing(&failure, None)),
    }
}

fn failing(failure: &Failure, term: Option<&str>) -> String {
    let place = term.map(|term| format!(" in {term}")).unwrap_or_default();
    format!("The policy fails with {}{place}, and so does the command.", failure.redacted_message())
}

/// The parts of a policy, in the session of the request.
struct Parts<'a> {
    question: &'a Question<'a>,
    /// The policy without the row-level security of the tables in its sub-queries.
    open: &'a dyn Fn() -> Result<Qual, row_security::Undecidable>,
}

/// A term in the forms in which it is shown and asked.
struct Forms {
    shown: Qual,
    asked: Qual,
    /// Its place among the terms.
    index: usize,
}

impl Parts<'_> {
    fn outcome(&self, shown: Qual, asked: Qual) -> Result<Outcome, String> {
        let is_known = self.is_known(shown);
        if is_known {
            match isolated(|| self.value(asked)) {
                Ok(Ok(Truth::True)) => {
                    let sql = shown.to_sql(self.question.relation.named.table);
                    let term = Term { sql, truth: Truth::True, facts: Vec::new() };
                    return Ok(Outcome::Judged(Judgement::Term(term)));
                }
                Ok(Ok(_)) => {}
                Ok(Err(reason)) => return Ok(Outcome::Undecided(reason)),
                Err(failure) if failure.is_sandbox_violation() => failure.raise(),
                Err(failure) => {
                    let term = self.failing_term(shown, asked);
                    return Err(failing(&failure, term.as_deref()));
                }
            }
        }
        let mut index = 0;
        let judgement = self.judgement(&Condition::of(shown), &Condition::of(asked), &mut index);
        Ok(Outcome::Judged(judgement))
    }

    /// Whether all columns that an expression reads have a known value.
    fn is_known(&self, qual: Qual) -> bool {
        let unknown = &self.question.row.unknown;
        unknown.is_empty() || qual.columns().is_some_and(|columns| columns.is_disjoint(unknown))
    }

    fn value(&self, qual: Qual) -> Result<Truth, String> {
        let (on, row) = (&self.question.relation.named, &self.question.row.columns);
        let values = values_for(&[qual], on, row).map_err(|reason| reason.to_string())?;
        Ok(match values.first().copied().flatten() {
            None => Truth::Null,
            Some(value) if value.value() != 0 => Truth::True,
            Some(_) => Truth::False,
        })
    }

    fn judgement(&self, shown: &Condition, asked: &Condition, index: &mut usize) -> Judgement {
        let mut parts = |shown: &[Condition], asked: &[Condition]| {
            let pairs = shown.iter().zip(asked);
            pairs.map(|(shown, asked)| self.judgement(shown, asked, index)).collect()
        };
        match (shown, asked) {
            (Condition::All(shown), Condition::All(asked)) => Judgement::All(parts(shown, asked)),
            (Condition::Any(shown), Condition::Any(asked)) => Judgement::Any(parts(shown, asked)),
            (Condition::Term(shown), Condition::Term(asked)) => {
                let forms = Forms { shown: *shown, asked: *asked, index: *index };
                *index += 1;
                Judgement::Term(self.term(&forms))
            }
            // Both forms have the same shape, as the server rewrites only sub-queries.
            _ => Judgement::Term(Term {
                sql: "the policy".to_owned(),
                truth: Truth::Unknown,
                facts: Vec::new(),
            }),
        }
    }

    fn term(&self, forms: &Forms) -> Term {
        let sql = forms.shown.to_sql(self.question.relation.named.table);
        let unknown =
            |fact: String| Term { sql: sql.clone(), truth: Truth::Unknown, facts: vec![fact] };
        if !self.is_known(forms.shown) {
            let unreadable = &self.question.row.unreadable;
            let columns = forms.shown.columns();
            let is_read = |column: &&i16| columns.as_ref().is_none_or(|of| of.contains(*column));
            let names = unreadable.iter().filter(is_read);
            let names = names.filter_map(|number| self.question.relation.numbered(*number));
            return unknown(match listed(names) {
                none if none.is_empty() => {
                    "it reads a column that the server or a trigger fills in".to_owned()
                }
                names => format!("you have no SELECT on {names}"),
            });
        }
        match isolated(|| self.value(forms.asked)) {
            Ok(Ok(Truth::True)) => Term { sql, truth: Truth::True, facts: Vec::new() },
            Ok(Ok(truth)) => Term { facts: self.facts(forms), sql, truth },
            Ok(Err(reason)) => unknown(reason),
            Err(failure) => unknown(format!("it fails with {}", failure.redacted_message())),
        }
    }

    /// The first term that raises an error.
    fn failing_term(&self, shown: Qual, asked: Qual) -> Option<String> {
        let (mut all_shown, mut all_asked) = (Vec::new(), Vec::new());
        terms(&Condition::of(shown), &mut all_shown);
        terms(&Condition::of(asked), &mut all_asked);
        let fails = |(_, asked): &(&Qual, &Qual)| isolated(|| self.value(**asked)).is_err();
        let (shown, _) = all_shown.iter().zip(&all_asked).find(fails)?;
        let sql = shown.to_sql(self.question.relation.named.table);
        Some(without_outer_parentheses(&sql).to_owned())
    }

    /// The values behind a term that does not hold.
    fn facts(&self, forms: &Forms) -> Vec<String> {
        let mut facts = self.request_facts(forms.shown);
        facts.extend(self.row_facts(forms.shown));
        if forms.shown.has_sub_queries() {
            facts.extend(self.sub_query_facts(forms));
        }
        facts
    }

    /// Claims and other values of the request.
    fn request_facts(&self, shown: Qual) -> Vec<String> {
        let (table, row) = (&self.question.relation.named, &self.question.row.columns);
        let mut facts = Vec::new();
        for found in request_values(shown, self.question.identity_functions) {
            let sql = found.expression.to_sql(table.table);
            let sql = without_outer_parentheses(&sql);
            let Ok(Ok(values)) = isolated(|| values_for(&[found.expression], table, row)) else {
                continue;
            };
            let type_ = type_of(found.expression);
            facts.push(match values.first().copied().flatten() {
                None if !found.is_claim => format!("{sql} is NULL"),
                None if self.question.identity.user.is_none() => {
                    format!("{sql} is NULL, as no user is signed in")
                }
                None => format!("{sql} is NULL, as the account has none (a token hook may add it)"),
                Some(value) if found.is_claim => format!("{sql} is {}", claim(type_, value)),
                Some(_) => format!("{sql} has a value"),
            });
        }
        facts
    }

    /// The values of the row. The caller may read them, or has given them.
    fn row_facts(&self, shown: Qual) -> Vec<String> {
        let (relation, row) = (self.question.relation, self.question.row);
        let fact = |number: i16| {
            let column = relation.numbered(number)?;
            Some(match row.value(number) {
                None => format!("the row's {} is NULL", column.name),
                Some(value) => {
                    format!("the row's {} is {}", column.name, short(&text_of(column.type_, value)))
                }
            })
        };
        shown.columns().unwrap_or_default().into_iter().filter_map(fact).collect()
    }

    /// The tables of sub-queries, and whether their own row-level security decides.
    fn sub_query_facts(&self, forms: &Forms) -> Vec<String> {
        let names = |relations: &[pg_sys::Oid]| {
            relations
                .iter()
                .filter_map(|relation| lookup::table_name(*relation))
                .collect::<Vec<_>>()
                .join(" and ")
        };
        let relations: Vec<pg_sys::Oid> =
            objects(forms.shown).relations.into_iter().map(pg_sys::Oid::from).collect();
        if relations.is_empty() {
            return Vec::new();
        }
        let role = self.question.identity.role;
        let secured: Vec<pg_sys::Oid> = relations
            .iter()
            .copied()
            .filter(|relation| privilege::is_enforced(*relation, role))
            .collect();
        if !secured.is_empty() && self.holds_without_inner_security(forms.index) {
            let mut facts = vec![format!(
                "the rows that it needs exist, but the row-level security of {} hides them",
                names(&secured)
            )];
            for relation in secured {
                let policies = policy::policies(Some(relation)).unwrap_or_default();
                let applies = |policy: &Policy| {
                    policy.is_permissive && policy.applies_to(Command::Select, role)
                };
                if !policies.iter().any(applies) {
                    facts.push(format!("{} has no SELECT policy for the role", names(&[relation])));
                }
            }
            return facts;
        }
        vec![match is_existence_test(forms.shown) {
            true => format!("the sub-query finds no fitting row in {}", names(&relations)),
            false => format!("the sub-query reads {}", names(&relations)),
        }]
    }

    fn holds_without_inner_security(&self, index: usize) -> bool {
        let value = || {
            let open = (self.open)().ok()?;
            let mut all = Vec::new();
            terms(&Condition::of(open), &mut all);
            self.value(*all.get(index)?).ok()
        };
        matches!(isolated(value), Ok(Some(Truth::True)))
    }
}

/// The terms of a condition, in order.
fn terms(condition: &Condition, found: &mut Vec<Qual>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().for_each(|part| terms(part, found));
        }
        Condition::Term(term) => found.push(*term),
    }
}

/// A claim as a report shows it. Objects and addresses are not shown.
fn claim(type_: pg_sys::Oid, value: pg_sys::Datum) -> String {
    let text = text_of(type_, value);
    match type_ {
        pg_sys::JSONOID | pg_sys::JSONBOID if text.starts_with(['{', '[']) => {
            "an object".to_owned()
        }
        _ if text.contains('@') => "an address".to_owned(),
        _ => short(&text),
    }
}

fn short(text: &str) -> String {
    if text.is_empty() {
        return "an empty text".to_owned();
    }
    match text.char_indices().nth(MAX_VALUE) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
