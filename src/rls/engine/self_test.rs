//! Self-test: examines two tables with known verdicts.
//!
//! If the audit misjudges its own tables, its other verdicts cannot be trusted.

use super::examination::Examination;
use super::examine::{ReachOutcome, probe_reach};
use super::probe::ProbeResult;
use crate::pg::catalog::lookup;
use crate::rls::model::{Reach, Verdict};
use crate::rls::target::application::Application;
use crate::rls::target::table::Table;

/// The owners in both self-test tables.
const OWNERS: [&str; 2] =
    ["00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"];

/// Probes both self-test tables. `Err` is the first wrong verdict.
pub fn run(application: &Application) -> Result<(), String> {
    let Some((role_index, role)) =
        application.roles.iter().enumerate().find(|(_, role)| role.is_client && !role.is_anonymous)
    else {
        return Ok(());
    };
    let expect = |name: &std::ffi::CStr, reach: Reach, is_expected: fn(&ProbeResult) -> bool| {
        let table =
            lookup::schema(c"crewsnow_ops").and_then(|schema| lookup::table_in(schema, name));
        let table =
            table.and_then(|oid| Some(Table::self_test(oid, lookup::table_name(oid)?, role_index)));
        let Some(table) = table else {
            return Err(format!("table crewsnow_ops.{} does not exist", name.to_string_lossy()));
        };
        let mut examination = Examination::new(&table, application, &[]);
        examination.owners = OWNERS.map(str::to_owned).to_vec();
        match probe_reach(&examination, &application.self_test_user(role, OWNERS[0]), reach) {
            Ok(Some(outcome)) if is_expected(&outcome.result) => Ok(()),
            Ok(Some(ReachOutcome { result: ProbeResult::Verdict(verdict), .. })) | Err(verdict) => {
                Err(format!(
                    "{} on {} was judged {} {}",
                    reach.rule(),
                    table.named.name,
                    verdict.as_str(),
                    verdict.remark()
                ))
            }
            _ => Err(format!("{} on {} was misjudged", reach.rule(), table.named.name)),
        }
    };
    let leaks = |result: &ProbeResult| !result.is_safe();
    let is_isolated =
        |result: &ProbeResult| matches!(result, ProbeResult::Verdict(Verdict::Isolated));
    for reach in [Reach::Read, Reach::Tamper, Reach::Forge, Reach::Destroy] {
        expect(c"rls_self_test_leaky", reach, leaks)?;
        expect(c"rls_self_test_isolated", reach, is_isolated)?;
    }
    Ok(())
}
