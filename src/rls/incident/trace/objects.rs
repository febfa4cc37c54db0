//! The access paths through views and functions.

use super::super::prove_remediation;
use super::super::prove_remediation::Proof;
use super::{AccessPath, Trace};
use crate::pg::cstring::c_string;
use crate::pg::rewrite::value::bound_value_of;
use crate::rls::PROBE_TIMEOUT_MS;
use crate::rls::error::RlsError;
use crate::rls::model::{Finding, Reach};
use crate::rls::target::identity::Identity;
use crate::rls::target::roles::Role;
use pgrx::prelude::*;

impl Trace<'_> {
    /// Views that show the reader rows of the victim.
    pub(super) fn paths_of_views(
        &mut self,
        role: &Role,
        reader: &Identity,
    ) -> Result<Vec<AccessPath>, RlsError> {
        let Some(users) = self.application.users.clone() else { return Ok(Vec::new()) };
        let stranger = self.application.new_account(role);
        let views: Vec<(String, String, Vec<String>)> = Spi::connect(|client| {
            let arguments =
                [role.oid.into(), self.application.schemas.clone().into(), users.key_type.into()];
            let mut views = Vec::new();
            for row in
                client.select(include_str!("../../../../sql/rls/views.sql"), None, &arguments)?
            {
                views.push((
                    row.get(1)?.unwrap_or_default(),
                    row.get(2)?.unwrap_or_default(),
                    row.get(3)?.unwrap_or_default(),
                ));
            }
            Ok::<_, RlsError>(views)
        })?;
        let mut paths = Vec::new();
        for (name, kind, columns) in views {
            let count_query = |column: &String| {
                include_str!("../../../../sql/rls/count_in_view.sql")
                    .replace("@view@", &name)
                    .replace("@column@", column)
            };
            let count = |who: &Identity, sql: &str| {
                count_as(who, sql, users.key_type, &self.victim).unwrap_or(0)
            };
            // The column with the most matches.
            let asked = columns.iter().map(count_query).map(|sql| (count(reader, &sql), sql)).max();
            let Some((rows, sql)) = asked.filter(|(rows, _)| *rows > 0) else { continue };
            let is_for_all = count(&stranger, &sql) > 0;
            let kind = if kind == "m" { "materialized view" } else { "view" };
            paths.push(self.object_path(
                (kind, format!("{kind} {name}"), sql),
                rows,
                is_for_all,
                reader,
            ));
        }
        Ok(paths)
    }

    /// Functions that return data of the victim to the reader.
    pub(super) fn paths_of_functions(
        &mut self,
        role: &Role,
        reader: &Identity,
    ) -> Result<Vec<AccessPath>, RlsError> {
        let Some(users) = self.application.users.clone() else { return Ok(Vec::new()) };
        let stranger = self.application.new_account(role);
        let unused = self.application.unused_id();
        let functions: Vec<(String, String)> = Spi::connect(|client| {
            let arguments = [
                role.oid.into(),
                self.application.schemas.clone().into(),
                users.key_type.into(),
                self.application.identity_functions.clone().into(),
            ];
            let mut functions = Vec::new();
            for row in client.select(
                include_str!("../../../../sql/rls/functions.sql"),
                None,
                &arguments,
            )? {
                functions.push((row.get(1)?.unwrap_or_default(), row.get(2)?.unwrap_or_default()));
            }
            Ok::<_, RlsError>(functions)
        })?;
        let mut paths = Vec::new();
        for (call, name) in functions {
            let sql = include_str!("../../../../sql/rls/count_from_function.sql")
                .replace("@function@", &call);
            let count =
                |who: &Identity, user: &str| count_as(who, &sql, users.key_type, user).unwrap_or(0);
            // A function that returns as much for an unused id does not depend on the user.
            let rows = count(reader, &self.victim);
            if rows == 0 || count(reader, &unused) >= rows {
                continue;
            }
            let is_for_all = count(&stranger, &self.victim) > 0;
            paths.push(self.object_path(
                ("function", format!("function {name}"), sql),
                rows,
                is_for_all,
                reader,
            ));
        }
        Ok(paths)
    }

    /// Adds the finding of a rule about the view or function, and tries its remediation.
    pub(super) fn complete(
        &mut self,
        path: &mut AccessPath,
        found: &[Finding],
        reader: &str,
    ) -> Result<(), RlsError> {
        let Some(sql) = path.count_query.take() else { return Ok(()) };
        let about = found.iter().find(|finding| {
            finding.object.ends_with(&path.object) && finding.remediation.is_some()
        });
        let (Some(finding), Some(users), Some(role)) =
            (about, self.application.users.clone(), self.application.user_role().cloned())
        else {
            return Ok(());
        };
        path.evidence = format!("{}; {}", path.evidence, finding.detail);
        let reader = self.identity(&role, reader)?;
        // A permission error counts as closed.
        let reaches = || Ok(count_as(&reader, &sql, users.key_type, &self.victim).unwrap_or(0) > 0);
        let script = finding.remediation.as_deref().unwrap_or_default();
        let proof = prove_remediation::prove(
            script,
            &Proof { reaches: &reaches, keeps: Proof::NO_OWNER, table: None },
        );
        match proof.starts_with("PROVED") {
            true => {
                path.remediation.clone_from(&finding.remediation);
                path.proof = Some(proof);
            }
            false => path.evidence += &format!("; no remediation is printed, as {proof}"),
        }
        Ok(())
    }

    fn object_path(
        &self,
        (kind, object, count_query): (&'static str, String, String),
        rows: i64,
        is_for_all: bool,
        reader: &Identity,
    ) -> AccessPath {
        AccessPath {
            kind,
            object,
            reach: Reach::Read.rule(),
            verdict: if is_for_all { "LEAK" } else { "SHARED" },
            identity: reader.label.clone(),
            victim_rows: rows,
            other_rows: None,
            other_users: None,
            through: Vec::new(),
            evidence: match is_for_all {
                true => "a new account gets it, too".to_owned(),
                false => "a new account does not get it".to_owned(),
            },
            remediation: None,
            proof: None,
            count_query: Some(count_query),
        }
    }
}

/// The count that a query about a user returns to an identity, within the time limit.
fn count_as(who: &Identity, sql: &str, type_: pg_sys::Oid, user: &str) -> Result<i64, String> {
    let answer = who.act_within(PROBE_TIMEOUT_MS, || {
        let user = bound_value_of(type_, &c_string(user));
        Spi::connect(|client| client.select(sql, Some(1), &[user])?.first().get_one::<i64>())
    });
    match answer {
        Ok(Ok(count)) => Ok(count.unwrap_or(0)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(stopped) => Err(stopped.to_string()),
    }
}
