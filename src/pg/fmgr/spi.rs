//! SQL that Rust runs: fixed texts from `sql/<domain>`, with bound parameters.

use crate::pg::backend_local::BackendLocal;
use crate::pg::error::ServerError;
use crate::pg::memory::require_room;
use crate::pg::xact::sqlstate;
use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use pgrx::spi::{OwnedPreparedStatement, SpiClient, SpiTupleTable, quote_identifier};
use std::collections::BTreeMap;

/// Runs SQL that may write, and thereby functions and triggers of the application. Their errors
/// keep a SQLSTATE of their own.
pub fn connect_mut<R>(work: impl FnOnce(&mut SpiClient<'_>) -> R) -> R {
    sqlstate::kept(|| Spi::connect_mut(work))
}

/// `sql` with each `@extschema@` replaced by the quoted name of the schema that the extension was
/// created in. 0A000 if the extension is not installed.
pub fn in_target_schema(sql: &str) -> Result<String, ServerError> {
    let schema =
        crate::pg::catalog::lookup::target_schema_name().ok_or(ServerError::NotInstalled)?;
    Ok(in_schema(&schema, sql))
}

fn in_schema(schema: &str, sql: &str) -> String {
    sql.replace("@extschema@", &quote_identifier(schema))
}

/// The number of statements in a text; 42601 if it is not SQL.
pub fn statements_in(sql: &str) -> usize {
    let sql = crate::pg::cstring::c_string(sql);
    // SAFETY: a NUL-terminated text. The list is allocated in the current memory context.
    unsafe {
        pg_sys::list_length(pg_sys::raw_parser(
            sql.as_ptr(),
            pg_sys::RawParseMode::RAW_PARSE_DEFAULT,
        )) as usize
    }
}

/// The only statement of a text, without a semicolon; `None` for none or several. 42601 if the text
/// is not SQL.
pub fn sole_statement(sql: &str) -> Option<String> {
    let text = crate::pg::cstring::c_string(sql);
    // SAFETY: a NUL-terminated text. The list is allocated in the current memory context, and has
    // raw statements.
    let (location, length) = unsafe {
        let list = pg_sys::raw_parser(text.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
        if pg_sys::list_length(list) != 1 {
            return None;
        }
        let raw = &*pg_sys::list_nth(list, 0).cast::<pg_sys::RawStmt>();
        (raw.stmt_location, raw.stmt_len)
    };
    let begin = usize::try_from(location).unwrap_or(0);
    let rest = sql.get(begin..)?;
    match usize::try_from(length).unwrap_or(0) {
        0 => Some(rest.to_owned()),
        length => rest.get(..length).map(str::to_owned),
    }
}

/// A composite value for a bound parameter.
pub struct RowArgument {
    /// The row as a datum; `None` is NULL.
    pub value: Option<pg_sys::Datum>,
    /// The oid of its row type.
    pub row_type: pg_sys::Oid,
}

impl RowArgument {
    /// The bound parameter for SPI.
    pub fn bind(&self) -> pgrx::datum::DatumWithOid<'_> {
        match self.value {
            // SAFETY: `value` comes from a tuple of the relation whose row type this is.
            Some(row) => unsafe { pgrx::datum::DatumWithOid::new(row, self.row_type) },
            None => pgrx::datum::DatumWithOid::null_oid(self.row_type),
        }
    }
}

/// The plans of [`select_kept`] in this session, by their text.
static KEPT: BackendLocal<BTreeMap<String, OwnedPreparedStatement>> =
    BackendLocal::new(BTreeMap::new());

/// Memory that the plan of a long query needs at most, in bytes.
const ROOM: usize = 2_097_152;

/// Runs a query whose plan the session keeps, and reads its rows. The server plans it again when
/// one of its objects changes. A query that fails loses its plan.
///
/// The texts must be few: fixed files, with the names of a few objects filled in.
pub fn select_kept<R, E: From<pgrx::spi::Error>>(
    sql: &str,
    arguments: &[DatumWithOid<'_>],
    read: impl FnOnce(SpiTupleTable<'_>) -> Result<R, E>,
) -> Result<R, E> {
    require_room(ROOM);
    let kept = KEPT.with(|kept| kept.remove(sql)).flatten();
    Spi::connect(|client| {
        let statement = match kept {
            Some(statement) => statement,
            None => {
                let types: Vec<PgOid> =
                    arguments.iter().map(|argument| PgOid::from(argument.oid())).collect();
                client.prepare(sql, &types)?.keep()
            }
        };
        let result = read(client.select(&statement, None, arguments)?)?;
        KEPT.with(|kept| kept.insert(sql.to_owned(), statement));
        Ok(result)
    })
}

/// A statement that a session prepares once and runs often. It returns no rows.
///
/// Its names and operators are qualified, so the function that runs it needs no SET clause. The
/// server would apply and undo such a clause with every call.
pub struct PreparedOnce {
    sql: &'static str,
    arguments: &'static [pg_sys::Oid],
    /// The plan, and the name of the schema that replaced `@extschema@` in it.
    prepared: BackendLocal<Option<(String, OwnedPreparedStatement)>>,
}

impl PreparedOnce {
    /// A statement with arguments of these types. `@extschema@` as in [`in_target_schema`].
    pub const fn new(sql: &'static str, arguments: &'static [pg_sys::Oid]) -> Self {
        Self { sql, arguments, prepared: BackendLocal::new(None) }
    }

    /// Runs the statement. A trigger that runs it again meanwhile prepares a plan of its own.
    pub fn run(&self, arguments: &[DatumWithOid<'_>]) -> Result<(), ServerError> {
        let schema =
            crate::pg::catalog::lookup::target_schema_name().ok_or(ServerError::NotInstalled)?;
        let kept = self.prepared.with(Option::take).flatten().filter(|(name, _)| *name == schema);
        connect_mut(|client| {
            let statement = match kept {
                Some((_, statement)) => statement,
                None => {
                    let types: Vec<PgOid> =
                        self.arguments.iter().map(|oid| PgOid::from(*oid)).collect();
                    client.prepare_mut(in_schema(&schema, self.sql).as_str(), &types)?.keep()
                }
            };
            client.update(&statement, None, arguments)?;
            self.prepared.with(|prepared| *prepared = Some((schema, statement)));
            Ok(())
        })
    }
}
