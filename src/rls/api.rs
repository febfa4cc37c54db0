//! SQL functions of the audit.

use super::audit::Audit;
use super::model::Severity;
use super::report::audit_report::Report;
use super::report::cause::Cause;
use super::rules::{documentation, lints};
use super::target::accounts::AccountPool;
use super::target::application::Application;
use super::target::identity::Identity;
use super::target::table::Table;
use crate::pg::catalog::{lookup, privilege};
use crate::pg::cstring::c_string;
use crate::pg::error::ServerError;
use crate::pg::fmgr::srf::MaterializedRows;
use crate::pg::rewrite::qual::{ConstFolded, Qual};
use crate::pg::rewrite::redact::redacted;
use crate::pg::rewrite::row_security;
use crate::pg::rewrite::row_security::Command;
use crate::pg::rewrite::value::{Parameters, value_of};
use crate::pg::xact::subtransaction::isolated;
use crate::pg::xact::timeout::Stopped;
use crate::pg::xact::{sec_context, session};
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::error::RlsError;
use pgrx::IntoDatum;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// A text, or NULL for an empty one.
pub(super) fn text(text: impl Into<String>) -> Option<pg_sys::Datum> {
    let text: String = text.into();
    if text.is_empty() { None } else { text.into_datum() }
}

/// A severity as a value of the enum crewsnow_ops.rls_severity.
pub(super) fn severity(severity: Severity) -> Option<pg_sys::Datum> {
    let type_ = lookup::type_in(lookup::schema(c"crewsnow_ops")?, c"rls_severity")?;
    Some(value_of(type_, &c_string(severity.as_str())))
}

/// All verdicts. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn rls_matrix(p_relation: Option<pg_sys::Oid>) -> Result<MaterializedRows<10>, ErrorReport> {
    let audit = Audit::run(p_relation)?;
    let mut rows = Vec::new();
    for (table, cells) in &audit.tables {
        for cell in cells {
            let policies: Vec<String> =
                cell.responsible_policies.iter().map(|policy| policy.name.clone()).collect();
            let remark = [cell.verdict.remark(), cell.evidence.clone()];
            rows.push([
                text(table.named.name.clone()),
                text(cell.reach.rule()),
                text(sec_context::role_name(cell.role)),
                text(cell.identity.clone()),
                text(cell.verdict.as_str()),
                cell.verdict.confidence().and_then(|confidence| text(confidence.as_str())),
                text(cell.using.clone()),
                text(cell.check.clone()),
                policies.into_datum(),
                text(
                    remark
                        .into_iter()
                        .filter(|remark| !remark.is_empty())
                        .collect::<Vec<_>>()
                        .join(": "),
                ),
            ]);
        }
    }
    Ok(MaterializedRows(rows))
}

/// All findings. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn audit_rls() -> Result<MaterializedRows<15>, ErrorReport> {
    let report = Report::make()?;
    let row = |cause: &Cause| {
        let finding = &cause.finding;
        let acceptance = report.acceptance_of_cause(cause);
        let lint = finding.cache_key.as_deref().and_then(lints::lint_of);
        [
            text(cause.key.clone()),
            text(finding.rule),
            severity(finding.severity),
            text(finding.confidence.as_str()),
            text(finding.object.clone()),
            text(finding.detail.clone()),
            text(finding.evidence.clone()),
            text(finding.remediation.clone().unwrap_or_default()),
            acceptance.and_then(|acceptance| text(acceptance.until.clone())),
            acceptance.and_then(|acceptance| text(acceptance.reason.clone())),
            text(lint.unwrap_or_default()),
            text(finding.cache_key.clone().unwrap_or_default()),
            text(documentation(finding.rule)),
            cause.objects.clone().into_datum(),
            cause.cache_keys.clone().into_datum(),
        ]
    };
    Ok(MaterializedRows(report.causes.iter().map(row).collect()))
}

/// The runbook's list of policies. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn audit_all_rls_policies() -> Result<MaterializedRows<7>, ErrorReport> {
    let rows = Report::make()?.policies();
    Ok(MaterializedRows(
        rows.into_iter()
            .map(|row| {
                [
                    text(row.table),
                    row.policy.and_then(text),
                    row.command.and_then(text),
                    row.roles.into_datum(),
                    text(row.status),
                    text(row.level),
                    row.issues.into_datum(),
                ]
            })
            .collect(),
    ))
}

/// The runbook's checklist. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn generate_rls_checklist() -> Result<MaterializedRows<6>, ErrorReport> {
    let rows = Report::make()?.checklist();
    Ok(MaterializedRows(
        rows.into_iter()
            .map(|row| {
                [
                    text(row.requirement),
                    text(row.table),
                    text(row.status),
                    row.policy_exists.into_datum(),
                    row.auth_uid_check.into_datum(),
                    text(row.recommendation),
                ]
            })
            .collect(),
    ))
}

/// The runbook's report. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn run_day1_database_security_audit() -> Result<String, ErrorReport> {
    Ok(Report::make()?.day1(&session::database(), &session::server_version()))
}

/// The quals that the server enforces. See the COMMENT on the SQL function.
///
/// SQLSTATE 22004 (NULL argument), 22P02 (not an id of a user), 42704 (no such role), 42809 (not a
/// table).
#[pg_extern(sql = false)]
fn effective_rls(
    p_relation: Option<pg_sys::Oid>,
    p_role: Option<&str>,
    p_user: Option<&str>,
) -> Result<MaterializedRows<9>, ErrorReport> {
    const EXAMPLE: &str = "SELECT * FROM crewsnow_ops.effective_rls('public.messages', \
        'authenticated', '7ad0e310-c2be-f807-be7c-3ae492be0185');";
    let relation =
        p_relation.ok_or(ServerError::NullArgument { argument: "p_relation", example: EXAMPLE })?;
    let mut audit = Audit::prepare(Some(relation))?;
    if let Some(name) = p_role
        && !audit.application.roles.iter().any(|role| role.name == name)
    {
        return Err(RlsError::NotAClientRole { role: name.to_owned() }.into());
    }
    let Some((table, _)) = audit.tables.pop() else {
        return Err(RlsError::NotATable { example: EXAMPLE }.into());
    };
    if let Some(user) = p_user {
        require_id(user, &audit.application, &table)?;
    }
    let mut accounts = AccountPool::default();
    let mut rows = Vec::new();
    for (place, role) in audit.application.roles.iter().enumerate() {
        if p_role.is_some_and(|name| name != role.name) {
            continue;
        }
        let who = match p_user {
            Some(user) => {
                accounts.load_existing(&audit.application, vec![user.to_owned()])?;
                accounts.identity(&audit.application, role, user)
            }
            None => audit.application.without_claims(role),
        };
        for command in Command::ALL {
            let is_enforced = table.is_secured && !privilege::is_exempt(table.oid(), role.oid);
            let asked = effective_for(&table, &who, command);
            let (expressions, error) = match asked {
                Ok(expressions) => (expressions, None),
                Err(why) => (Default::default(), Some(why)),
            };
            let [using, check, using_as, check_as] = expressions;
            rows.push([
                text(command.as_str()),
                text(role.name.clone()),
                table.allows(place, command).into_datum(),
                is_enforced.into_datum(),
                using.and_then(text),
                check.and_then(text),
                using_as.and_then(text),
                check_as.and_then(text),
                error.and_then(text),
            ]);
        }
    }
    Ok(MaterializedRows(rows))
}

/// Refuses a text that is not a user id.
fn require_id(user: &str, application: &Application, table: &Table) -> Result<(), RlsError> {
    let Some(type_) = application.id_type() else { return Ok(()) };
    if isolated(|| value_of(type_, &c_string(user))).is_ok() {
        return Ok(());
    }
    let id = match type_ {
        pg_sys::INT2OID | pg_sys::INT4OID | pg_sys::INT8OID => "1",
        _ => "7ad0e310-c2be-f807-be7c-3ae492be0185",
    };
    let name = table.named.name.replace('\'', "''");
    let example = format!("SELECT * FROM crewsnow_ops.effective_rls('{name}', NULL, '{id}');");
    Err(RlsError::NotAUserId { user: user.to_owned(), type_: lookup::type_name(type_), example })
}

/// USING and WITH CHECK, as written and folded for the identity; `None` if the command has no such
/// clause.
fn effective_for(
    table: &Table,
    who: &Identity,
    command: Command,
) -> Result<[Option<String>; 4], String> {
    // The caller's own arguments may be shown, but no values derived from claims.
    let fold = |condition: Qual| match condition.fold(&Parameters::none()) {
        ConstFolded::True => Qual::ALWAYS,
        ConstFolded::False => Qual::never(),
        ConstFolded::Residual(folded) => redacted(folded, condition, who.user.as_deref()),
    };
    let answer = who.act_within(PROBE_TIMEOUT_MS, || {
        let effective = row_security::effective(command, &table.named)?;
        Ok::<_, row_security::Undecidable>([
            effective.using,
            effective.check,
            fold(effective.using),
            fold(effective.check),
        ])
    });
    let conditions = match answer {
        Ok(Ok(conditions)) => conditions,
        Ok(Err(reason)) => return Err(reason.to_string()),
        Err(Stopped::TimedOut(ms)) => {
            return Err(format!("the policies were canceled after {ms} ms"));
        }
        Err(Stopped::Failed(failure)) => {
            return Err(format!("the policies fail with {}", failure.redacted_message()));
        }
    };
    let deparsed = isolated(|| conditions.map(|condition| condition.to_sql(table.oid())));
    let [using, check, using_as, check_as] = deparsed.map_err(|failure| {
        format!("the policies cannot be shown: {}", failure.redacted_message())
    })?;
    let reads = command != Command::Insert;
    let writes = matches!(command, Command::Insert | Command::Update);
    Ok([
        reads.then_some(using),
        writes.then_some(check),
        reads.then_some(using_as),
        writes.then_some(check_as),
    ])
}
