//! Tables that keep personal data, or only grow, without a policy.

use crate::pg::fmgr::srf::QueryRows;
use crate::settings;
use pgrx::prelude::*;

/// See the COMMENT on the SQL function.
#[pg_extern(sql = false)]
fn retention_findings() -> QueryRows {
    const SQL: &str = include_str!("../../../sql/maintenance/retention_findings.sql");
    QueryRows::of(SQL, &[settings::users_table().into()])
}
