//! A set of rows returned at once. pgrx hands rows out one call at a time, and a function with SET clauses has all of them applied and
//! taken back for each.

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};

/// MaterializedRows of `N` columns, for a function whose CREATE FUNCTION names as many; NULL is `None`.
pub struct MaterializedRows<const N: usize>(pub Vec<[Option<pg_sys::Datum>; N]>);

// SAFETY: NULL is returned, and the rows lie where the server looks for them.
unsafe impl<const N: usize> BoxRet for MaterializedRows<N> {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        // SAFETY: the server makes the store for the rows, or raises where it wants none; each row has as many values as it expects.
        unsafe {
            let call = fcinfo.as_mut_ptr();
            pg_sys::InitMaterializedSRF(call, 0);
            let result = &*(*call).resultinfo.cast::<pg_sys::ReturnSetInfo>();
            if (*result.setDesc).natts as usize != N {
                pgrx::error!("the function is declared with {} columns instead of {N}", (*result.setDesc).natts);
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

// SAFETY: such functions are declared by hand, so what pgrx would write is never used.
unsafe impl<const N: usize> SqlTranslatable for MaterializedRows<N> {
    const TYPE_IDENT: &'static str = "MaterializedRows";
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("record"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::SetOf(SqlMappingRef::literal("record")));
}

/// The rows of a query, handed on as they are. For a function whose CREATE FUNCTION names the same types.
pub struct QueryRows(Vec<pg_sys::HeapTuple>);

impl QueryRows {
    /// No rows.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether there are any.
    pub fn has_rows(&self) -> bool {
        !self.0.is_empty()
    }

    /// Runs a query that writes nothing, under the statement's own snapshot.
    pub fn of(sql: &str, arguments: &[DatumWithOid<'_>]) -> Self {
        let sql = std::ffi::CString::new(sql).unwrap_or_default();
        let mut types: Vec<pg_sys::Oid> = arguments.iter().map(DatumWithOid::oid).collect();
        let value = |argument: &DatumWithOid<'_>| argument.datum().map(|datum| datum.sans_lifetime());
        let mut values: Vec<pg_sys::Datum> =
            arguments.iter().map(|argument| value(argument).unwrap_or(pg_sys::Datum::null())).collect();
        let nulls: Vec<_> =
            arguments.iter().map(|argument| if value(argument).is_none() { b'n' } else { b' ' } as _).collect();
        // SAFETY: as many types, values and marks as arguments. The rows are copied into the context that was current before, and there
        // are as many as the server says; an error ends SPI with the subtransaction.
        unsafe {
            pg_sys::SPI_connect();
            let (types, values, nulls) = (types.as_mut_ptr(), values.as_mut_ptr(), nulls.as_ptr());
            pg_sys::SPI_execute_with_args(sql.as_ptr(), arguments.len() as i32, types, values, nulls, true, 0);
            let table = pg_sys::SPI_tuptable;
            let count = if table.is_null() { 0 } else { pg_sys::SPI_processed as usize };
            let tuples = (0..count).map(|i| pg_sys::SPI_copytuple(*(*table).vals.add(i))).collect();
            pg_sys::SPI_finish();
            Self(tuples)
        }
    }
}

// SAFETY: NULL is returned, and the rows lie where the server looks for them.
unsafe impl BoxRet for QueryRows {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        // SAFETY: the server makes the store for the rows, or raises where it wants none. That the types are those declared is for the
        // declaration to see to, as it is in every function in C.
        unsafe {
            let call = fcinfo.as_mut_ptr();
            pg_sys::InitMaterializedSRF(call, 0);
            let result = &*(*call).resultinfo.cast::<pg_sys::ReturnSetInfo>();
            for tuple in self.0 {
                pg_sys::tuplestore_puttuple(result.setResult, tuple);
            }
            fcinfo.return_null()
        }
    }
}

// SAFETY: such functions are declared by hand, so what pgrx would write is never used.
unsafe impl SqlTranslatable for QueryRows {
    const TYPE_IDENT: &'static str = "QueryRows";
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("record"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::SetOf(SqlMappingRef::literal("record")));
}
