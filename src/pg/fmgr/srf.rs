//! Functions that return rows.
//!
//! Three return types, each for one case:
//! - pgrx's `TableIterator` has Rust types for its columns and lets pgrx write CREATE FUNCTION. It
//!   returns one row a call. The server applies and undoes the SET clauses of the function for each
//!   row. It therefore suits functions with few rows, or with no SET clause but a search_path.
//! - [`MaterializedRows`] returns all rows in one call. For rows computed in Rust by a function
//!   that is declared by hand. The count of columns is checked with each call, their types are not:
//!   values come from `into_datum`, and the tests that read each column find a wrong one.
//! - [`QueryRows`] passes the rows of one query on without decoding them. The types of the columns
//!   are compared with those declared, with each call.

use crate::error::raise;
use crate::pg::error::ServerError;
use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};

/// Rows of `N` columns, for a function declared with as many; `None` is NULL.
pub struct MaterializedRows<const N: usize>(pub Vec<[Option<pg_sys::Datum>; N]>);

// SAFETY: returns NULL and puts the rows into the tuplestore, as materialize mode demands.
unsafe impl<const N: usize> BoxRet for MaterializedRows<N> {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        // SAFETY: the server creates the tuplestore, or raises if the caller accepts no set. Each
        // row has as many values as the server expects.
        unsafe {
            let call = fcinfo.as_mut_ptr();
            pg_sys::InitMaterializedSRF(call, 0);
            let result = &*(*call).resultinfo.cast::<pg_sys::ReturnSetInfo>();
            if (*result.setDesc).natts as usize != N {
                pgrx::error!(
                    "function declares {} columns but returns {N}",
                    (*result.setDesc).natts
                );
            }
            for row in self.0 {
                let mut nulls = row.map(|value| value.is_none());
                let mut values = row.map(|value| value.unwrap_or(pg_sys::Datum::null()));
                let (values, nulls) = (values.as_mut_ptr(), nulls.as_mut_ptr());
                pg_sys::tuplestore_putvalues(result.setResult, result.setDesc, values, nulls);
            }
            fcinfo.return_null()
        }
    }
}

// SAFETY: these functions are declared by hand, so pgrx's declaration is never used.
unsafe impl<const N: usize> SqlTranslatable for MaterializedRows<N> {
    const TYPE_IDENT: &'static str = "MaterializedRows";
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("record"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::SetOf(SqlMappingRef::literal("record")));
}

/// The rows of a query, for a function declared with the same column types.
pub struct QueryRows {
    tuples: Vec<pg_sys::HeapTuple>,
    /// The types of the query's columns; `None` if no query ran.
    types: Option<Vec<pg_sys::Oid>>,
}

impl QueryRows {
    /// An empty set, which fits each declaration.
    pub fn none() -> Self {
        Self { tuples: Vec::new(), types: None }
    }

    /// Whether the query returned at least one row.
    pub fn has_rows(&self) -> bool {
        !self.tuples.is_empty()
    }

    /// Runs a read-only query under the statement's own snapshot.
    pub fn of(sql: &str, arguments: &[DatumWithOid<'_>]) -> Self {
        let sql = std::ffi::CString::new(sql).unwrap_or_default();
        let mut types: Vec<pg_sys::Oid> = arguments.iter().map(DatumWithOid::oid).collect();
        let value =
            |argument: &DatumWithOid<'_>| argument.datum().map(|datum| datum.sans_lifetime());
        let mut values: Vec<pg_sys::Datum> = arguments
            .iter()
            .map(|argument| value(argument).unwrap_or(pg_sys::Datum::null()))
            .collect();
        let nulls: Vec<_> = arguments
            .iter()
            .map(|argument| if value(argument).is_none() { b'n' } else { b' ' } as _)
            .collect();
        // SAFETY: there are as many types, values and NULL marks as arguments. SPI_copytuple copies
        // into the memory context that was current before SPI_connect. An error ends SPI with the
        // subtransaction.
        unsafe {
            pg_sys::SPI_connect();
            let (types, values, nulls) = (types.as_mut_ptr(), values.as_mut_ptr(), nulls.as_ptr());
            pg_sys::SPI_execute_with_args(
                sql.as_ptr(),
                arguments.len() as i32,
                types,
                values,
                nulls,
                true,
                0,
            );
            let table = pg_sys::SPI_tuptable;
            let count = if table.is_null() { 0 } else { pg_sys::SPI_processed as usize };
            let tuples = (0..count).map(|i| pg_sys::SPI_copytuple(*(*table).vals.add(i))).collect();
            let types = (!table.is_null()).then(|| column_types((*table).tupdesc));
            pg_sys::SPI_finish();
            Self { tuples, types }
        }
    }
}

/// # Safety
/// `descriptor` must be a tuple descriptor.
unsafe fn column_types(descriptor: pg_sys::TupleDesc) -> Vec<pg_sys::Oid> {
    // SAFETY: guaranteed by the caller; the descriptor has this many columns.
    let descriptor = unsafe { pgrx::PgTupleDesc::from_pg_unchecked(descriptor) };
    descriptor.iter().map(|column| column.atttypid).collect()
}

// SAFETY: returns NULL and puts the rows into the tuplestore, as materialize mode demands.
unsafe impl BoxRet for QueryRows {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        // SAFETY: the server creates the tuplestore, or raises if the caller accepts no set. The
        // tuples have the declared types.
        unsafe {
            let call = fcinfo.as_mut_ptr();
            pg_sys::InitMaterializedSRF(call, 0);
            let result = &*(*call).resultinfo.cast::<pg_sys::ReturnSetInfo>();
            let declared = column_types(result.setDesc);
            if let Some(types) = self.types.filter(|types| *types != declared) {
                raise::<(), _>(Err(ServerError::ColumnTypes { declared, returned: types }));
            }
            for tuple in self.tuples {
                pg_sys::tuplestore_puttuple(result.setResult, tuple);
            }
            fcinfo.return_null()
        }
    }
}

// SAFETY: these functions are declared by hand, so pgrx's declaration is never used.
unsafe impl SqlTranslatable for QueryRows {
    const TYPE_IDENT: &'static str = "QueryRows";
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("record"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::SetOf(SqlMappingRef::literal("record")));
}
