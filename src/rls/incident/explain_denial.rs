//! Incident tool: the reason why a user cannot see or write a row.

use super::denial::EXAMPLE;
use super::denial::case::Case;
use super::denial::relation::Relation;
use super::denial::row::Input;
use super::denial::step::{Step, concluded};
use crate::pg::error::ServerError;
use crate::pg::fmgr::raw_arg::Jsonb;
use crate::pg::fmgr::srf::MaterializedRows;
use crate::pg::rewrite::row_security::Command;
use crate::rls::api::text;
use crate::rls::error::RlsError;
use crate::rls::target::accounts::AccountPool;
use crate::rls::target::application::Application;
use crate::rls::target::identity::Identity;
use crate::rls::target::roles::Role;
use pgrx::IntoDatum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The reason why a user cannot see or write a row. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn explain_denial(
    p_user: Option<pgrx::Uuid>,
    p_relation: Option<pg_sys::Oid>,
    p_key_or_row: Option<Jsonb>,
    p_command: Option<&str>,
) -> Result<MaterializedRows<6>, ErrorReport> {
    let null = |argument| ServerError::NullArgument { argument, example: EXAMPLE };
    let oid = p_relation.ok_or_else(|| null("p_relation"))?;
    let argument = p_key_or_row.ok_or_else(|| null("p_key_or_row"))?;
    let word = p_command.ok_or_else(|| null("p_command"))?;
    let named = |command: &Command| command.as_str().eq_ignore_ascii_case(word.trim());
    let Some(command) = Command::ALL.into_iter().find(named) else {
        let command = word.to_owned();
        return Err(RlsError::UnknownCommand { command, example: EXAMPLE }.into());
    };
    let application = Application::read()?;
    let user = p_user.map(|user| user.to_string());
    let role = match user {
        Some(_) => application.user_role().or(application.anonymous()),
        None => application.anonymous().or(application.user_role()),
    };
    let Some(role) = role.cloned() else {
        let text = "The settings crewsnow_ops.user_role and anonymous_role name no role.";
        return Ok(rows(vec![Step::denied("role", "client roles", text)]));
    };
    let Some(relation) = Relation::read(oid, role.oid)? else {
        return Err(RlsError::NotARelation { example: EXAMPLE }.into());
    };
    let (identity, account) = identity(&application, &role, user)?;
    let case = Case { application: &application, role: &role, identity: &identity, command };
    let input = Input::of(&relation, command, &argument.value("p_key_or_row")?)?;
    let mut steps: Vec<Step> = account.into_iter().collect();
    steps.extend(case.steps(&relation, &input, 0)?);
    let summary =
        format!("Privileges and policies let {} do this {}.", identity.label, command.as_str());
    Ok(rows(concluded(steps, &relation.object(), &summary)))
}

fn rows(steps: Vec<Step>) -> MaterializedRows<6> {
    let row = |(i, step): (usize, Step)| {
        [
            (i as i32 + 1).into_datum(),
            text(step.status.as_str()),
            text(step.cause),
            text(step.object),
            text(step.remediation.unwrap_or_default()),
            text(step.explanation),
        ]
    };
    MaterializedRows(steps.into_iter().enumerate().map(row).collect())
}

/// The request of a user, or an anonymous one; and a remark about the account.
fn identity(
    application: &Application,
    role: &Role,
    user: Option<String>,
) -> Result<(Identity, Option<Step>), RlsError> {
    let Some(user) = user else {
        return Ok(match role.is_anonymous {
            true => (application.anon_key(role), None),
            false => (application.without_claims(role), None),
        });
    };
    let mut accounts = AccountPool::default();
    let known = accounts.load_existing(application, vec![user.clone()])?;
    let remark = match &application.users {
        Some(users) if known.is_empty() => {
            let text = "The user has no account. The claims are those of a new account.";
            Some(Step::ok("account", format!("table {}", users.name), text))
        }
        _ => None,
    };
    Ok((accounts.identity(application, role, &user), remark))
}
