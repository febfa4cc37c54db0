//! SQL run from Rust: fixed texts from `sql/<domain>`, bound parameters.

use crate::pg::backend_local::BackendLocal;
use crate::pg::error::ServerError;
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use pgrx::spi::{OwnedPreparedStatement, quote_identifier};

/// `sql` with the install script's token `@extschema@` replaced by the quoted name of the extension's target schema.
pub fn in_target_schema(sql: &str) -> Result<String, ServerError> {
    let schema = crate::pg::catalog::lookup::target_schema_name().ok_or(ServerError::NotInstalled)?;
    Ok(in_schema(&schema, sql))
}

fn in_schema(schema: &str, sql: &str) -> String {
    sql.replace("@extschema@", &quote_identifier(schema))
}

/// How many statements a text has; raises what is wrong with its grammar.
pub fn statements_in(sql: &str) -> usize {
    let sql = crate::pg::cstring::c_string(sql);
    // SAFETY: a NUL-terminated text; the list lies in the current memory context.
    unsafe { pg_sys::list_length(pg_sys::raw_parser(sql.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT)) as usize }
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

/// A statement that a session prepares once, because it runs it often. It returns nothing. Written with qualified names and operators, it
/// needs no SET clause on the function that runs it, which would be applied and taken back with every call.
pub struct PreparedOnce {
    sql: &'static str,
    arguments: &'static [pg_sys::Oid],
    /// The statement, and the name of the schema that it was written for.
    prepared: BackendLocal<Option<(String, OwnedPreparedStatement)>>,
}

impl PreparedOnce {
    /// A statement in which `@extschema@` stands for the extension's target schema.
    pub const fn new(sql: &'static str, arguments: &'static [pg_sys::Oid]) -> Self {
        Self { sql, arguments, prepared: BackendLocal::new(None) }
    }

    /// Runs it. The statement is out of its place meanwhile, so a trigger that gets here again prepares its own.
    pub fn run(&self, arguments: &[DatumWithOid<'_>]) -> Result<(), ServerError> {
        let schema = crate::pg::catalog::lookup::target_schema_name().ok_or(ServerError::NotInstalled)?;
        let kept = self.prepared.with(Option::take).flatten().filter(|(of, _)| *of == schema);
        Spi::connect_mut(|client| {
            let statement = match kept {
                Some((_, statement)) => statement,
                None => {
                    let types: Vec<PgOid> = self.arguments.iter().map(|oid| PgOid::from(*oid)).collect();
                    client.prepare_mut(in_schema(&schema, self.sql).as_str(), &types)?.keep()
                }
            };
            client.update(&statement, None, arguments)?;
            self.prepared.with(|prepared| *prepared = Some((schema, statement)));
            Ok(())
        })
    }
}
