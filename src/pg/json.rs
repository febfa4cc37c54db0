//! jsonb as an argument.

use super::datum;
use crate::telemetry::jsonb;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};

/// A jsonb argument as the server passes it. pgrx's own type would parse it into a tree that cannot hold every number.
#[derive(Clone, Copy)]
pub struct Jsonb(pg_sys::Datum);

impl pgrx::FromDatum for Jsonb {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        (!is_null).then_some(Self(datum))
    }
}

// SAFETY: the SQL type is jsonb, whatever the value; it is only looked at as that.
unsafe impl<'fcx> pgrx::callconv::ArgAbi<'fcx> for Jsonb {
    unsafe fn unbox_arg_unchecked(arg: pgrx::callconv::Arg<'_, 'fcx>) -> Self {
        // SAFETY: as the caller vouches; without a value there is none to look at.
        unsafe { arg.unbox_arg_using_from_datum().unwrap_or(Self(pg_sys::Datum::null())) }
    }

    unsafe fn unbox_nullable_arg(arg: pgrx::callconv::Arg<'_, 'fcx>) -> pgrx::nullable::Nullable<Self> {
        // SAFETY: as the caller vouches.
        unsafe { arg.unbox_arg_using_from_datum().into() }
    }
}

// SAFETY: describes the SQL type and nothing else.
unsafe impl SqlTranslatable for Jsonb {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Jsonb);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("jsonb"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("jsonb")));
}

impl Jsonb {
    /// As a bound parameter.
    pub fn bind<'a>(payload: Option<Self>) -> DatumWithOid<'a> {
        match payload {
            // SAFETY: the value is a jsonb, and valid as long as the call that it is an argument of.
            Some(Self(datum)) => unsafe { DatumWithOid::new(datum, pg_sys::JSONBOID) },
            None => DatumWithOid::null_oid(pg_sys::JSONBOID),
        }
    }

    /// Bytes of the value, uncompressed.
    pub fn size(self) -> usize {
        // SAFETY: the value is a jsonb.
        unsafe { pg_sys::toast_raw_datum_size(self.0) as usize }
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        // SAFETY: the value is a jsonb.
        unsafe { datum::with_varlena(self.0, jsonb::is_object) }
    }
}
