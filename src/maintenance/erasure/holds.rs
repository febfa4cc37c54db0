//! Legal holds on persons.

use super::error::ErasureError;
use super::person::Person;
use crate::access::as_owner;
use pgrx::prelude::*;

/// The legal holds that stand: id, and a sentence without a period.
pub fn holds(person: &Person) -> Result<Vec<(String, String)>, ErasureError> {
    as_owner(|| {
        Spi::connect(|client| {
            let sql = include_str!("../../../sql/maintenance/erasure_holds.sql");
            client
                .select(sql, None, &[person.identifiers().into()])?
                .map(|row| {
                    let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                    Ok((text(1)?, text(2)?))
                })
                .collect()
        })
    })
}
