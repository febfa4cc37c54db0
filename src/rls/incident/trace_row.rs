//! Incident tool: the identities that reach one row.

use super::prove_remediation;
use super::prove_remediation::PROVED;
use crate::pg::error::ServerError;
use crate::pg::fmgr::raw_arg::Jsonb;
use crate::pg::fmgr::srf::MaterializedRows;
use crate::rls::api::text;
use crate::rls::audit::Audit;
use crate::rls::engine::attribution::{reaches_row, responsible_policies};
use crate::rls::engine::examination::Examination;
use crate::rls::engine::reach_probe;
use crate::rls::error::RlsError;
use crate::rls::model::Reach;
use crate::rls::report::remediation_proof::Prover;
use crate::rls::target::accounts::AccountPool;
use crate::rls::target::identity::Identity;
use crate::rls::target::policy;
use crate::rls::target::policy::Policy;
use crate::rls::target::roles::Role;
use crate::rls::target::table::Table;
use pgrx::IntoDatum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Number of owners of other rows that are tried.
const OTHERS: usize = 20;

/// The identities that reach one row. See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn trace_row(
    p_relation: Option<pg_sys::Oid>,
    p_key: Option<Jsonb>,
) -> Result<MaterializedRows<9>, ErrorReport> {
    const EXAMPLE: &str = "SELECT * FROM crewsnow_ops.trace_row('public.messages', '{\"id\": \
        \"455fd432-8aea-dba6-9dd2-bf666d2846f3\"}');";
    let null = |argument| ServerError::NullArgument { argument, example: EXAMPLE };
    let relation = p_relation.ok_or_else(|| null("p_relation"))?;
    let key = p_key.ok_or_else(|| null("p_key"))?;
    let mut audit = Audit::prepare(None)?;
    if audit.table(relation.to_u32()).is_none() {
        // A table that client roles do not reach.
        audit = Audit::prepare(Some(relation))?;
    }
    let Some((table, _)) = audit.table(relation.to_u32()) else {
        return Err(RlsError::NotATable { example: EXAMPLE }.into());
    };
    let (place, owners) =
        prove_remediation::row_by_key(&audit.application, table, &key.value("p_key")?, EXAMPLE)?;
    let mut accounts = AccountPool::find(&audit.application)?;
    let mut examination = Examination::new(table, &audit.application, audit.policies_of(relation));
    let compared = policy::compared_columns(&policy::clause_facts(
        &policy::policies(None)?,
        &audit.application,
    ));
    let columns = crate::rls::target::owners::owner_columns(&audit.application, &compared);
    // Related users, and a sample of unrelated ones.
    let mut tried = prove_remediation::related(&audit.application, table, place, &columns)?;
    tried.extend(table.sample_owners(&audit.application, OTHERS)?);
    tried.extend(accounts.sample.iter().cloned());
    examination.owners = accounts.load_existing(&audit.application, owners)?;
    let mut prover = Prover::new(&audit, examination.owners.clone())?;
    let mut users = examination.owners.clone();
    for id in accounts.load_existing(&audit.application, tried)? {
        if !users.contains(&id) {
            users.push(id);
        }
    }
    let mut found = Vec::new();
    for (number, role) in audit.application.roles.iter().enumerate() {
        let identities: Vec<Identity> = match role.is_anonymous {
            true => vec![audit.application.without_claims(role), audit.application.anon_key(role)],
            false => std::iter::once(audit.application.new_account(role))
                .chain(users.iter().map(|id| accounts.identity(&audit.application, role, id)))
                .collect(),
        };
        for reach in [Reach::Read, Reach::Tamper, Reach::TakeOver, Reach::Destroy] {
            if !table.allows(number, reach_probe::command(reach)) {
                continue;
            }
            let mut refused = 0;
            for who in &identities {
                let (verdict, evidence) = match reaches_row(&examination, who, reach, place) {
                    Ok(None) => ("OWN", String::new()),
                    Ok(Some(true)) => ("YES", String::new()),
                    Err(why) => ("INCONCLUSIVE", why),
                    Ok(Some(false)) => {
                        refused += 1;
                        continue;
                    }
                };
                let responsible = if verdict == "YES" {
                    responsible_policies(&examination, who, reach, Some(place))
                } else {
                    Vec::new()
                };
                // Related users may be allowed to see the row. Requests without an account and new
                // accounts are not.
                let is_leak =
                    verdict == "YES" && (who.user.is_none() || who.label == identities[0].label);
                let still_reaches = || {
                    // A new examination: cached quals predate the remediation.
                    let policies = audit.policies_of(relation);
                    let mut again = Examination::new(table, &audit.application, policies);
                    again.owners.clone_from(&examination.owners);
                    reaches_row(&again, who, reach, place).map(|reaches| reaches == Some(true))
                };
                let proved = (is_leak && table.is_secured)
                    .then(|| prover.remediation(table, reach, &responsible, Some(&still_reaches)));
                let (script, evidence) = match proved {
                    None => (None, evidence),
                    Some(Ok(script)) => (Some(script), evidence),
                    Some(Err(why)) => (None, format!("no remediation is printed, as {why}")),
                };
                let proof = script.is_some().then_some(PROVED);
                let mut row =
                    row_of(table, reach, role, (&who.label, verdict), &responsible, evidence);
                (row[7], row[8]) = (script.and_then(text), proof.and_then(text));
                found.push(row);
            }
            if refused > 0 {
                let rest = format!("{refused} of {} identities tried", identities.len());
                found.push(row_of(table, reach, role, (&rest, "NO"), &[], String::new()));
            }
        }
    }
    Ok(MaterializedRows(found))
}

fn row_of(
    table: &Table,
    reach: Reach,
    role: &Role,
    (who, verdict): (&str, &str),
    responsible_policies: &[Policy],
    evidence: String,
) -> [Option<pg_sys::Datum>; 9] {
    let through: Vec<String> =
        responsible_policies.iter().map(|policy| policy.name.clone()).collect();
    [
        text(if table.is_secured { "policy" } else { "grant" }),
        text(reach.rule()),
        text(role.name.clone()),
        text(who),
        text(verdict),
        through.into_datum(),
        text(evidence),
        None,
        None,
    ]
}
