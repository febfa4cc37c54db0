//! SQL run from Rust: fixed texts from `sql/query`, bound parameters.

use crate::error::OpsError;
use pgrx::pg_sys;
use pgrx::spi::quote_identifier;

/// `sql` with the install script's token `@extschema@` replaced by the quoted name of the extension's target schema.
pub fn in_target_schema(sql: &str) -> Result<String, OpsError> {
    let schema = super::catalog::target_schema_name().ok_or(OpsError::NotInstalled)?;
    Ok(sql.replace("@extschema@", &quote_identifier(schema)))
}

/// A composite value for a bound parameter.
pub struct RowArgument {
    /// The row as a datum; `None` is NULL.
    pub value: Option<pg_sys::Datum>,
    /// The oid of its row type.
    pub row_type: pg_sys::Oid,
}

impl RowArgument {
    /// The argument as SPI takes it.
    pub fn bind(&self) -> pgrx::datum::DatumWithOid<'_> {
        match self.value {
            // SAFETY: `value` was made from a tuple of the relation whose row type this is.
            Some(row) => unsafe { pgrx::datum::DatumWithOid::new(row, self.row_type) },
            None => pgrx::datum::DatumWithOid::null_oid(self.row_type),
        }
    }
}
