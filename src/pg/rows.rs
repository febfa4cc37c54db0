//! A set of rows returned at once. pgrx hands rows out one call at a time, and a function with SET clauses has all of them applied and
//! taken back for each.

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};

/// Rows of `N` columns, for a function whose CREATE FUNCTION names as many; NULL is `None`.
pub struct Rows<const N: usize>(pub Vec<[Option<pg_sys::Datum>; N]>);

// SAFETY: NULL is returned, and the rows lie where the server looks for them.
unsafe impl<const N: usize> BoxRet for Rows<N> {
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
unsafe impl<const N: usize> SqlTranslatable for Rows<N> {
    const TYPE_IDENT: &'static str = "Rows";
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("record"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::SetOf(SqlMappingRef::literal("record")));
}
