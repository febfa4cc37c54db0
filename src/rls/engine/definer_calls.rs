//! Decides findings about definer functions by calls: as a client without any right to the data, as
//! the owner of the data, and as other accounts.
//!
//! A function is called only if it is not VOLATILE. Each call runs as the client role in a
//! read-only sandbox, for a limited time, and returns counts.

use super::callable::{Call, Callable, Shape};
use crate::pg::xact::timeout::{Stopped, isolated_within};
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::error::RlsError;
use crate::rls::model::{Audience, Confidence, Finding, Severity};
use crate::rls::target::accounts::AccountPool;
use crate::rls::target::application::Application;
use crate::rls::target::identity::{Identity, masked};
use crate::rls::target::roles::Role;
use pgrx::prelude::*;
use std::time::{Duration, Instant};

/// The rule whose findings are decided.
const RULE: &str = "definer-function";
/// Longest time for all calls of an audit.
const TIME_FOR_CALLS: Duration = Duration::from_secs(2);
/// Time limit for reading the functions, in milliseconds.
const TIME_TO_READ_MS: i32 = 5_000;
/// Most rows that are counted, as in sql/rls/calls/readable.sql.
const MAX_COUNTED: u64 = 1_000;
/// Accounts beside the owner that are tried.
const OTHER_ACCOUNTS: usize = 3;

/// The answer to a call, without its values.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    /// Results that are not empty, up to 1000.
    results: i64,
    /// Results that name another account.
    about_others: i64,
    digest: String,
}

/// The outcome of all calls of a function.
enum Outcome {
    /// Identities without a right to the data get it.
    Leak(Audience, String),
    /// The owner of the data gets it, and others do not.
    Checks(String),
    /// Client roles may read the same in the tables.
    Public(String),
    /// The calls decide nothing; the reason.
    Unclear(String),
}

/// Calls the functions of findings, and changes the findings as the calls show.
pub fn decide(findings: &mut [Finding], application: &Application) {
    let signatures: Vec<String> =
        findings.iter().filter_map(signature).map(str::to_owned).collect();
    if signatures.is_empty() {
        return;
    }
    let functions = isolated_within(TIME_TO_READ_MS, || Callable::find(application, &signatures));
    // Without a call the findings stay as the rule has made them.
    let (Ok(Ok(functions)), Ok(accounts)) = (functions, AccountPool::find(application)) else {
        return;
    };
    let mut calls = Calls { application, accounts, end: Instant::now() + TIME_FOR_CALLS };
    for finding in findings {
        let Some(function) = functions.iter().find(|function| {
            signature(finding).is_some_and(|signature| signature == function.signature)
        }) else {
            continue;
        };
        let outcome = match &function.reason {
            Some(reason) => Outcome::Unclear(format!("not called: {reason}")),
            None => crate::pg::memory::in_temporary_context(|| calls.outcome(function)),
        };
        apply(finding, function, outcome);
    }
}

/// The signature of the function that a finding is about.
fn signature(finding: &Finding) -> Option<&str> {
    finding.object.strip_prefix("function ").filter(|_| finding.rule == RULE)
}

fn apply(finding: &mut Finding, function: &Callable, outcome: Outcome) {
    const START: &str = "Client roles may call it with the rights of its owner";
    let mut evidence = |called: &str| finding.evidence = format!("{}; {called}", finding.evidence);
    let (severity, detail) = match outcome {
        Outcome::Leak(audience, called) => {
            evidence(&called);
            let (worst, what) = match function.result {
                Shape::Number => (Severity::Medium, "learns about rows of other users"),
                Shape::Value => (Severity::High, "gets values of other users"),
                Shape::Rows => (Severity::Critical, "gets rows of other users"),
            };
            let severity = match audience {
                Audience::EveryUser | Audience::Session => worst.max(Severity::High),
                Audience::Anonymous | Audience::AnyAccount => worst,
            };
            // The rule's own advice stays.
            let advice = [" Policies or other", " The statement takes"];
            let advice = advice.iter().find_map(|start| finding.detail.find(start));
            let advice = advice.map(|start| finding.detail[start..].to_owned());
            let advice = advice.unwrap_or_else(|| match finding.remediation {
                Some(_) => String::new(),
                None => " Check the identity in its body.".to_owned(),
            });
            (severity, format!("{START}: {audience} {what}.{advice}"))
        }
        Outcome::Checks(called) => {
            evidence(&called);
            let detail = format!("{START}. It checks the identity, as calls of it show.");
            (Severity::Info, detail)
        }
        Outcome::Public(called) => {
            evidence(&called);
            let detail = format!("{START}. It returns what they may read in its tables.");
            (Severity::Info, detail)
        }
        Outcome::Unclear(why) => {
            if finding.severity < Severity::Info {
                evidence(&why);
            }
            return;
        }
    };
    if severity == Severity::Info {
        finding.remediation = None;
    }
    (finding.severity, finding.detail) = (severity, detail);
    finding.confidence = Confidence::Observed;
}

/// The calls of one audit.
struct Calls<'a> {
    application: &'a Application,
    accounts: AccountPool,
    end: Instant,
}

impl Calls<'_> {
    fn outcome(&mut self, function: &Callable) -> Outcome {
        let calls = function.calls(self.application, &mut self.accounts);
        if calls.is_empty() {
            return Outcome::Unclear("not called: no values for its arguments".to_owned());
        }
        let mut owner_evidence = None;
        let mut public_evidence = None;
        let mut open_evidence = None;
        for call in &calls {
            for stranger in self.strangers(function) {
                match self.judge(function, call, &stranger) {
                    Ok(Judgement::Gets(evidence)) => {
                        return Outcome::Leak(stranger.audience, evidence);
                    }
                    Ok(Judgement::Public(evidence)) => public_evidence = Some(evidence),
                    Ok(Judgement::Open(evidence)) => open_evidence = Some(evidence),
                    Ok(Judgement::Nothing) => {}
                    Err(why) => return Outcome::Unclear(why),
                }
            }
            match self.judge_accounts(function, call) {
                Ok(Some(Judgement::Gets(evidence))) => {
                    return Outcome::Leak(Audience::EveryUser, evidence);
                }
                Ok(Some(Judgement::Open(evidence))) => open_evidence = Some(evidence),
                Ok(Some(_)) => {
                    owner_evidence = call.user.as_deref().map(|user| {
                        format!("called as {}: results; as a new account: none", masked(user))
                    });
                }
                Ok(None) => {}
                Err(why) => return Outcome::Unclear(why),
            }
        }
        match (open_evidence, public_evidence, owner_evidence) {
            (Some(why), ..) => Outcome::Unclear(why),
            (None, Some(evidence), _) => Outcome::Public(evidence),
            (None, None, Some(evidence)) => Outcome::Checks(evidence),
            (None, None, None) => Outcome::Unclear("called: no result".to_owned()),
        }
    }

    /// Identities that own no row, the widest audience first.
    fn strangers(&self, function: &Callable) -> Vec<Identity> {
        let application = self.application;
        let (anonymous, users): (Vec<&Role>, Vec<&Role>) =
            self.callers(function).partition(|role| role.is_anonymous);
        let without_user = |role| [application.without_claims(role), application.anon_key(role)];
        let new = |role| [application.new_account(role), application.second_factor(role)];
        anonymous
            .into_iter()
            .flat_map(without_user)
            .chain(users.into_iter().flat_map(new))
            .collect()
    }

    /// The client roles that may call a function.
    fn callers<'b>(&'b self, function: &'b Callable) -> impl Iterator<Item = &'b Role> {
        let roles = self.application.roles.iter().zip(&function.is_callable);
        roles.filter(|(role, is_callable)| role.is_client && **is_callable).map(|(role, _)| role)
    }

    /// The answer of a call to one identity without a right to the data.
    fn judge(&self, function: &Callable, call: &Call, who: &Identity) -> Result<Judgement, String> {
        let Some(answer) = self.answer(function, &call.values, who, None)? else {
            return Ok(Judgement::Nothing);
        };
        if answer.results == 0 {
            return Ok(Judgement::Nothing);
        }
        let of = call.user.as_deref().map(|user| format!(" of {}", masked(user)));
        let of = of.unwrap_or_default();
        let called = format!("called as {} with values{of}: {} results", who.label, answer.results);
        if let Some(unused) = &call.unused {
            let other = self.answer(function, unused, who, None)?;
            if other.as_ref().is_none_or(|other| other.digest != answer.digest) {
                return Ok(match self.is_readable(function, call, who, answer.results) {
                    true => Judgement::Public(format!("{called}, readable in its tables, too")),
                    false => Judgement::Gets(format!(
                        "{called}, with unused values {}",
                        other.map_or(0, |other| other.results)
                    )),
                });
            }
        }
        let readable = |is_owned: bool| {
            let tables =
                function.tables.iter().filter(move |table| !is_owned || table.owner.is_some());
            tables.map(|table| self.rows_readable(&table.name, None, None, who))
        };
        if answer.about_others > 0 && !readable(true).any(|rows| rows >= answer.results) {
            return Ok(Judgement::Gets(format!(
                "called as {}: {} results name other accounts",
                who.label, answer.about_others
            )));
        }
        let called = format!("called as {}: {} results", who.label, answer.results);
        let needed = if function.result == Shape::Number { 1 } else { answer.results };
        let is_public = !function.tables.is_empty()
            && readable(false).all(|rows| rows > 0)
            && readable(false).any(|rows| rows >= needed);
        Ok(match is_public {
            true => Judgement::Public(format!("{called}, readable in its tables, too")),
            false => Judgement::Open(called),
        })
    }

    /// Whether every other account gets the data of the user that a call is about. `None` if
    /// neither these nor the user itself get anything.
    fn judge_accounts(
        &mut self,
        function: &Callable,
        call: &Call,
    ) -> Result<Option<Judgement>, String> {
        let Some(user) = &call.user else { return Ok(None) };
        let Some(role) = self.callers(function).find(|role| !role.is_anonymous).cloned() else {
            return Ok(None);
        };
        let owner = self.accounts.identity(self.application, &role, user);
        let own = self.answer(function, &call.values, &owner, None)?;
        let own = own.filter(|answer| answer.results > 0);
        let nothing = || Ok(own.is_some().then_some(Judgement::Nothing));
        let teams = self.accounts.teams(self.application);
        let others: Vec<String> = match teams.outsiders(user) {
            Some((_, outsiders)) => {
                self.accounts.load_existing(self.application, outsiders).unwrap_or_default()
            }
            None => self.accounts.sample.iter().filter(|id| *id != user).cloned().collect(),
        };
        let mut tried = 0;
        // Without a value that stands for a row, the same answer may be about each caller.
        let (mut is_same, mut is_about_user) = (own.is_some() && call.unused.is_none(), true);
        for other in others.iter().take(OTHER_ACCOUNTS) {
            let who = self.accounts.identity(self.application, &role, other);
            let Some(answer) = self.answer(function, &call.values, &who, Some(user))? else {
                return nothing();
            };
            is_same &= own.as_ref().is_some_and(|own| own.digest == answer.digest);
            let gets = match &call.unused {
                Some(unused) => {
                    let unused = self.answer(function, unused, &who, None)?;
                    answer.results > 0 && unused.is_none_or(|other| other.digest != answer.digest)
                }
                None => answer.about_others > 0,
            };
            is_about_user &= gets;
            if !(gets || is_same) || self.is_readable(function, call, &who, answer.results) {
                return nothing();
            }
            tried += 1;
        }
        Ok(Some(match tried {
            2.. if !is_about_user => Judgement::Open(format!(
                "called as {} and {tried} other accounts: all get the same answer",
                masked(user)
            )),
            _ if own.is_none() && tried < 2 => return Ok(None),
            0 => Judgement::Nothing,
            1 if !is_about_user => Judgement::Nothing,
            1 => Judgement::Open("called as the only other account: it gets an answer".to_owned()),
            n => Judgement::Gets(format!(
                "called as {n} accounts with values of {}: all get an answer",
                masked(user)
            )),
        }))
    }

    /// Whether an identity may read in its tables what a call is about.
    fn is_readable(&self, function: &Callable, call: &Call, who: &Identity, results: i64) -> bool {
        let Some((row, table)) =
            call.row.as_ref().and_then(|row| Some((row, function.tables.get(row.table)?)))
        else {
            return false;
        };
        // A row of another table than the one whose rows are returned only gave the values.
        if let Some(returned) = &function.returned
            && *returned != table.name
        {
            let sql = format!("SELECT 1 FROM {returned} AS t");
            let Ok(all) = self.application.rows(returned, &sql, &[], MAX_COUNTED) else {
                return false;
            };
            let readable = self.rows_readable(returned, None, None, who);
            return usize::try_from(readable).is_ok_and(|readable| readable >= all.len());
        }
        if self.rows_readable(&table.name, Some((row.place, &row.ctid)), None, who) > 0 {
            return true;
        }
        let user = call.user.as_ref().filter(|user| names(&call.values, user));
        match (&table.owner, user) {
            (Some(owner), Some(user)) => {
                self.rows_readable(&table.name, None, Some((owner, user)), who) >= results
            }
            _ => false,
        }
    }

    /// Rows of a table that an identity may read: one row, those of an owner, or all.
    fn rows_readable(
        &self,
        table: &str,
        row: Option<(pg_sys::Oid, &String)>,
        owner: Option<(&String, &String)>,
        who: &Identity,
    ) -> i64 {
        let sql = include_str!("../../../sql/rls/calls/readable.sql")
            .replace("@table@", table)
            .replace("@column@", owner.map_or("tableoid", |(column, _)| column));
        let answer = who.act_within(PROBE_TIMEOUT_MS, || {
            let arguments = [
                row.map(|(place, _)| place).into(),
                row.map(|(_, ctid)| ctid.clone()).into(),
                owner.map(|(_, user)| user.clone()).into(),
            ];
            Spi::connect(|client| {
                client.select(&sql, Some(1), &arguments)?.first().get_one::<i64>()
            })
        });
        match answer {
            Ok(Ok(rows)) => rows.unwrap_or(0),
            _ => 0,
        }
    }

    /// The answer of one call. `None` if the function refuses it with an error. `about` is the
    /// account to look for in the results; `None` is any account but the caller's.
    fn answer(
        &self,
        function: &Callable,
        values: &[String],
        who: &Identity,
        about: Option<&String>,
    ) -> Result<Option<Answer>, String> {
        if Instant::now() > self.end {
            return Err("not called: the time for calls is used up".to_owned());
        }
        let sql = include_str!("../../../sql/rls/calls/results.sql")
            .replace("@call@", &function.expression(values.len()));
        let accounts: Vec<String> = match about {
            Some(user) => vec![user.clone()],
            None => {
                let is_other = |id: &&String| Some(*id) != who.user.as_ref() && !names(values, id);
                self.accounts.known().filter(is_other).cloned().collect()
            }
        };
        let answer = who.act_within(PROBE_TIMEOUT_MS, || {
            let arguments = [values.to_vec().into(), accounts.into()];
            Spi::connect(|client| {
                let rows = client.select(&sql, Some(1), &arguments)?.first();
                Ok::<_, RlsError>(Answer {
                    results: rows.get(1)?.unwrap_or(0),
                    about_others: rows.get(2)?.unwrap_or(0),
                    digest: rows.get(3)?.unwrap_or_default(),
                })
            })
        });
        match answer {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(_)) | Err(Stopped::Failed(_)) => Ok(None),
            Err(stopped) => Err(format!("called: {stopped}")),
        }
    }
}

/// Whether an argument is this id, or an array of it.
fn names(values: &[String], id: &str) -> bool {
    values.iter().any(|value| value.contains(id))
}

/// The answer of a call to an identity.
enum Judgement {
    /// No result.
    Nothing,
    /// Data of another user.
    Gets(String),
    /// Data that the identity may read in the tables, too.
    Public(String),
    /// Results whose relation to users is unknown.
    Open(String),
}
