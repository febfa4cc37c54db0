//! VACUUM and ANALYZE of the tables that autovacuum would take.

pub mod need;

use super::context::Context;
use super::error::MaintenanceError;

/// x
pub fn run(_context: &mut Context) -> Result<(), MaintenanceError> {
    Ok(())
}
