//! Two tables whose verdicts are known: an audit that misjudges them is not to be believed.

use super::examine::{Examination, ReachOutcome};
use super::probe::ProbeResult;
use crate::pg::catalog::lookup;
use crate::rls::model::{Reach, Verdict};
use crate::rls::target::application::Application;
use crate::rls::target::table::Table;

/// Looks at the two control tables, whose verdicts are known. `Err` says what was told wrong.
pub fn run(application: &Application) -> Result<(), String> {
    let Some((place, role)) = application.roles.iter().enumerate().find(|(_, role)| !role.is_anonymous) else {
        return Ok(());
    };
    let owners = ["00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"].map(str::to_owned);
    let told = |name: &std::ffi::CStr, reach: Reach, wanted: fn(&ProbeResult) -> bool| {
        let table = lookup::schema(c"crewsnow_ops").and_then(|schema| lookup::table_in(schema, name));
        let table = table.and_then(|oid| Some(Table::self_test(oid, lookup::table_name(oid)?, place)));
        let Some(table) = table else { return Err("a self-test table is missing".to_owned()) };
        let mut examination = Examination::new(&table, application, &[]);
        examination.owners = owners.to_vec();
        match examination.reach(&application.self_test_user(role, &owners[0]), reach) {
            Ok(Some(asked)) if wanted(&asked.found) => Ok(()),
            Ok(Some(ReachOutcome { found: ProbeResult::Verdict(verdict), .. })) | Err(verdict) => {
                Err(format!("{} on {} was {} {}", reach.rule(), table.named.name, verdict.as_str(), verdict.remark()))
            }
            _ => Err(format!("{} on {} was told wrong", reach.rule(), table.named.name)),
        }
    };
    let leaks = |found: &ProbeResult| !found.is_safe();
    let isolated = |found: &ProbeResult| matches!(found, ProbeResult::Verdict(Verdict::Isolated));
    for reach in [Reach::Read, Reach::Tamper, Reach::Forge, Reach::Destroy] {
        told(c"rls_self_test_leaky", reach, leaks)?;
        told(c"rls_self_test_isolated", reach, isolated)?;
    }
    Ok(())
}
