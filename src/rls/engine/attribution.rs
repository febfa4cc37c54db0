//! Who else reaches a row that somebody reaches, and which policies let them.

use super::examine::{Examination, LIMIT};
use super::probe::{MOST_COST, Place, Question, Rows, command};
use crate::pg::cstring::c_string;
use crate::pg::rewrite::qual::{ConstFolded, Qual, value_of};
use crate::pg::rewrite::row_security::Undecidable;
use crate::rls::model::{Audience, Confidence, Reach, Verdict};
use crate::rls::target::accounts::People;
use crate::rls::target::application;
use crate::rls::target::application::Identity;
use crate::rls::target::policy::Policy;

impl Examination<'_> {
    /// A row that is not the asker's was reached. Is that so for everybody, or is there something between the two?
    pub fn row_of_others(
        &self,
        identity: &Identity,
        reach: Reach,
        place: Place,
        condition: Qual,
        people: &mut People,
    ) -> (Verdict, String) {
        let seen = Confidence::Observed;
        if self.table.owners.is_empty() {
            return (Verdict::Public(seen), format!("{} reached a row", identity.label));
        }
        if identity.user.is_none() {
            return (Verdict::Leak(seen, Audience::Anonymous), format!("{} reached a row of a user", identity.label));
        }
        let Some(role) = self.surroundings.roles.iter().find(|role| role.oid == identity.role) else {
            return (Verdict::Shared, String::new());
        };
        if !identity.is_account {
            return (
                Verdict::Leak(seen, Audience::AnyAccount),
                format!("{} reached a row of another user", identity.label),
            );
        }
        let mut tried = Vec::new();
        let mut reached = 0;
        let others: Vec<String> = self.owners.iter().chain(&people.pool).cloned().collect();
        for id in others {
            if Some(id.as_str()) == identity.user.as_deref() || tried.contains(&id) || tried.len() == 4 {
                continue;
            }
            let other = people.identity(self.surroundings, role, &id);
            match self.reaches(&other, reach, place) {
                // It is theirs: that says nothing.
                Ok(None) | Err(_) => continue,
                Ok(Some(does)) => {
                    reached += usize::from(does);
                    tried.push(id);
                    if !does {
                        break;
                    }
                }
            }
        }
        if !tried.is_empty() && reached == tried.len() {
            let evidence =
                format!("{} and {} other users reached the same row of another user", identity.label, reached);
            return (Verdict::Leak(seen, Audience::EveryUser), evidence);
        }
        // With nobody else to try it with: a condition that does not look at the row opens all rows.
        if tried.is_empty() && self.has_open_gate(identity, condition) {
            let evidence = format!(
                "{} reached a row of another user by a condition that does not look at the row",
                identity.label
            );
            return (Verdict::Leak(seen, Audience::EveryUser), evidence);
        }
        self.shared((identity, role), reach, condition, people)
    }

    /// Whether somebody reaches a row that is not theirs; `None` if it is.
    pub fn reaches(&self, identity: &Identity, reach: Reach, place: Place) -> Result<Option<bool>, String> {
        let memo = self.memo(identity);
        let question = Question { table: self.table, identity, memo: &memo };
        let answer = identity.act_within(LIMIT, || -> Result<Option<bool>, Undecidable> {
            let effective = self.effective(identity, reach)?;
            if reach == Reach::Plant {
                let is_other = |owner: &&String| Some(owner.as_str()) != identity.user.as_deref();
                let others: Vec<String> = self.owners.iter().filter(is_other).cloned().collect();
                let planted = question.planted_on(&effective, &self.victims(&others))?;
                return Ok(Some(planted.is_some_and(|(found, _)| !found.is_safe())));
            }
            question.begins(&effective)?;
            if question.is_own(place)? {
                return Ok(None);
            }
            for column in question.columns(reach) {
                let Some(condition) = question.condition(reach, &effective, None, column)? else { continue };
                if question.first(&Rows::At(place), condition, f64::MAX)?.is_some() {
                    return Ok(Some(true));
                }
            }
            Ok(Some(false))
        });
        answer.map_err(|failure| failure.redacted_message())?.map_err(|unclear| unclear.to_string())
    }

    fn has_open_gate(&self, identity: &Identity, condition: Qual) -> bool {
        let memo = self.memo(identity);
        let question = Question { table: self.table, identity, memo: &memo };
        let answer = identity.act_within(LIMIT, || -> Result<bool, Undecidable> {
            let ConstFolded::Residual(folded) = memo.fold(condition) else { return Ok(true) };
            for arm in folded.alternatives() {
                if !arm.reads_row() && question.first(&Rows::Foreign, arm, MOST_COST)?.is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        });
        matches!(answer, Ok(Ok(true)))
    }

    /// The permissive policies that let it through by themselves.
    pub fn culprits(&self, identity: &Identity, reach: Reach, place: Option<Place>) -> Vec<Policy> {
        if !self.table.is_secured {
            return Vec::new();
        }
        let memo = self.memo(identity);
        let question = Question { table: self.table, identity, memo: &memo };
        let is_about_new = matches!(reach, Reach::Forge | Reach::TakeOver | Reach::Plant);
        let about: Vec<&Policy> = self
            .policies
            .iter()
            .filter(|policy| policy.is_permissive && policy.is_about(command(reach), identity.role))
            .collect();
        let lets_through = |policy: &Policy| {
            let answer = identity.act_within(LIMIT, || -> Result<bool, Undecidable> {
                let Some(mut condition) = policy.condition(&self.table.named, is_about_new)? else { return Ok(false) };
                if is_about_new {
                    for owner in &self.table.owners {
                        let user = match reach {
                            Reach::TakeOver => identity.user.clone(),
                            _ => Some(application::stranger_of(owner.type_, 1)),
                        };
                        let Some(user) = user else { break };
                        let value = value_of(owner.type_, &c_string(&user));
                        condition = condition.substitute(owner.number, owner.type_, value).unwrap_or(condition);
                    }
                }
                match memo.fold(condition) {
                    ConstFolded::True => Ok(true),
                    ConstFolded::False => Ok(false),
                    ConstFolded::Residual(_) => match place {
                        Some(place) => Ok(question.first(&Rows::At(place), condition, f64::MAX)?.is_some()),
                        None if is_about_new => {
                            let chosen = question.chosen(condition, command(reach));
                            Ok(chosen.is_some_and(|chosen| matches!(memo.fold(chosen), ConstFolded::True)))
                        }
                        None => Ok(false),
                    },
                }
            });
            matches!(answer, Ok(Ok(true)))
        };
        let guilty: Vec<Policy> =
            about.iter().filter(|policy| lets_through(policy)).map(|policy| (*policy).clone()).collect();
        // None alone: all of them together.
        if guilty.is_empty() { about.into_iter().cloned().collect() } else { guilty }
    }
}
