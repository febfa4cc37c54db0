//! The policies that a command meets, and the reason why they refuse a row.

use super::judgement::{Judgement, Truth};
use super::question::{Purpose, Question};
use super::reason::{Outcome, judge};
use super::step::Step;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::cstring::c_string;
use crate::pg::rewrite::evaluation::{objects, unrewritten};
use crate::pg::xact::sec_context::role_name;
use crate::pg::xact::subtransaction::isolated;
use crate::rls::target::policy::Policy;
use pgrx::pg_sys;

/// Policies that do not apply, as far as an explanation lists them.
const MAX_OTHERS: usize = 3;

/// Asks the policies of one question.
pub struct PolicyCheck<'a>(pub Question<'a>);

impl PolicyCheck<'_> {
    fn cause(&self) -> &'static str {
        match self.0.purpose {
            Purpose::Read => "using",
            Purpose::Write => "with-check",
            _ => "select-policy-needed",
        }
    }

    /// A sentence that says why these policies count, for commands that are not their own.
    fn preface(&self) -> &'static str {
        match self.0.purpose {
            Purpose::Read | Purpose::Write => "",
            Purpose::Where => "WHERE reads the row, so SELECT policies count too. ",
            Purpose::StaysVisible => "The new row must stay visible by the SELECT policies. ",
            Purpose::Returning => {
                "A plain INSERT passes. With RETURNING (.select() in supabase-js) the new row must \
                 pass the SELECT policies. "
            }
        }
    }

    /// The checks: the permissive policies, of which one must pass, and each restrictive policy.
    pub fn steps(&self) -> Vec<Step> {
        let steps = self.all_steps();
        match self.0.purpose {
            Purpose::Returning => steps.into_iter().map(Step::conditional).collect(),
            _ => steps,
        }
    }

    /// The checks that need no row: privileges of the policies, and whether one applies.
    pub fn steps_without_row(&self) -> Vec<Step> {
        let missing = self.missing_of_all();
        match missing.is_empty() && self.applicable(true).next().is_none() {
            true => vec![self.no_policy()],
            false => missing,
        }
    }

    fn applicable(&self, is_permissive: bool) -> impl Iterator<Item = &Policy> {
        let Question { policies, relation, command, .. } = self.0;
        policies.iter().filter(move |policy| {
            policy.is_permissive == is_permissive && policy.applies_to(command, relation.role)
        })
    }

    fn missing_of_all(&self) -> Vec<Step> {
        let policies = self.applicable(true).chain(self.applicable(false));
        policies.flat_map(|policy| self.missing_grants(policy)).collect()
    }

    fn all_steps(&self) -> Vec<Step> {
        let missing = self.missing_of_all();
        if !missing.is_empty() {
            return missing;
        }
        let permissive: Vec<&Policy> = self.applicable(true).collect();
        let mut steps = if permissive.is_empty() {
            vec![self.no_policy()]
        } else {
            self.permissive_steps(&permissive)
        };
        for policy in self.applicable(false) {
            let (object, cause) = (self.object(policy), "restrictive");
            steps.push(match judge(&self.0, policy) {
                Outcome::Judged(judgement) => match judgement.truth() {
                    Truth::True => Step::ok(cause, object, "It passes.".to_owned()),
                    Truth::Unknown => Step::unknown(cause, object, judgement.reason()),
                    Truth::False | Truth::Null => {
                        let text = format!(
                            "{}Each RESTRICTIVE policy must pass. {}",
                            self.preface(),
                            judgement.reason()
                        );
                        Step::denied(cause, object, text)
                    }
                },
                other => failed(object, other),
            });
        }
        steps
    }

    /// Privileges that the user lacks on the tables and functions of a policy. The command fails
    /// without them, whichever policy lets the row through.
    fn missing_grants(&self, policy: &Policy) -> Vec<Step> {
        let Some(tree) = self.0.clause(policy) else { return Vec::new() };
        let used = objects(unrewritten(&c_string(tree)));
        let role = self.0.identity.role;
        let (of, name) = (format!("Policy \"{}\"", policy.name), role_name(role));
        let mut steps = Vec::new();
        for relation in used.relations.into_iter().map(pg_sys::Oid::from) {
            if !matches!(isolated(|| privilege::may_select(role, relation)), Ok(false)) {
                continue;
            }
            let table = lookup::table_name(relation).unwrap_or_default();
            let text = format!("{of} reads it as the user, and {name} has no SELECT on it.");
            steps.push(Step::denied("table-grant", format!("table {table}"), text));
        }
        for function in used.functions.into_iter().map(pg_sys::Oid::from) {
            if !matches!(isolated(|| privilege::may_execute(role, function)), Ok(false)) {
                continue;
            }
            let text = format!("{of} calls it as the user, and {name} has no EXECUTE on it.");
            let object = format!("function {}", lookup::signature(function));
            steps.push(Step::denied("function-grant", object, text));
        }
        steps
    }

    fn object(&self, policy: &Policy) -> String {
        format!("policy \"{}\" on {}", policy.name, self.0.relation.named.name)
    }

    /// Permissive policies are ORed: one that passes is enough. An error counts unless a policy
    /// before it, in order of names, passes.
    fn permissive_steps(&self, policies: &[&Policy]) -> Vec<Step> {
        let mut refused: Vec<(&Policy, Judgement)> = Vec::new();
        let mut other = Vec::new();
        for policy in policies {
            let object = self.object(policy);
            match judge(&self.0, policy) {
                Outcome::Judged(judgement) => match judgement.truth() {
                    Truth::True if other.is_empty() => {
                        return vec![Step::ok(self.cause(), object, "It lets the row through.")];
                    }
                    Truth::True => {}
                    Truth::Unknown => {
                        other.push(Step::unknown(self.cause(), object, judgement.reason()));
                    }
                    Truth::False | Truth::Null => refused.push((policy, judgement)),
                },
                outcome => other.push(failed(object, outcome)),
            }
        }
        if !other.is_empty() {
            return other;
        }
        refused.sort_by_key(|(_, judgement)| std::cmp::Reverse(judgement.nearness()));
        let step = |(policy, judgement): (&Policy, Judgement)| {
            let text = format!("{}{}", self.preface(), judgement.reason());
            Step::denied(self.cause(), self.object(policy), text)
        };
        refused.into_iter().map(step).collect()
    }

    /// Default deny: no permissive policy applies.
    fn no_policy(&self) -> Step {
        let relation = self.0.relation;
        let mut text = format!(
            "{}No permissive policy for {} applies to {}, so row-level security refuses every row.",
            self.preface(),
            self.0.command.as_str(),
            relation.role_name
        );
        let others: Vec<String> = self.0.policies.iter().map(|policy| self.other(policy)).collect();
        match others.len() {
            0 => text.push_str(" The table has no policy."),
            count => {
                for other in others.iter().take(MAX_OTHERS) {
                    text.push(' ');
                    text.push_str(other);
                }
                if count > MAX_OTHERS {
                    text.push_str(&format!(" {} more do not apply.", count - MAX_OTHERS));
                }
            }
        }
        let cause = match self.0.purpose {
            Purpose::Read | Purpose::Write => "rls-no-policy",
            _ => self.cause(),
        };
        Step::denied(cause, relation.object(), text)
    }

    /// A sentence about a policy that does not let rows through.
    fn other(&self, policy: &Policy) -> String {
        let name = &policy.name;
        let commands = match policy.command {
            'r' => "SELECT",
            'a' => "INSERT",
            'w' => "UPDATE",
            'd' => "DELETE",
            _ => "ALL",
        };
        if policy.applies_to(self.0.command, self.0.relation.role) {
            return format!("Policy \"{name}\" is RESTRICTIVE and grants nothing.");
        }
        let roles = policy.roles.iter().map(|role| match *role {
            pg_sys::InvalidOid => "every role".to_owned(),
            role => role_name(role),
        });
        let roles: Vec<String> = roles.collect();
        format!("Policy \"{name}\" is FOR {commands} TO {}.", roles.join(", "))
    }
}

/// A policy that gives no value.
fn failed(object: String, outcome: Outcome) -> Step {
    match outcome {
        Outcome::Failed(message) => Step::denied("error", object, message),
        Outcome::Undecided(message) => Step::unknown("error", object, message),
        Outcome::Judged(judgement) => Step::unknown("error", object, judgement.reason()),
    }
}
