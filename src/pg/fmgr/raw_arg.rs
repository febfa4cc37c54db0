//! Arguments as the server passes them: looked at where they lie, handed on as they are. pgrx's own types would copy each numeric, and
//! parse each jsonb into a tree that cannot hold every number.

use crate::pg::access::datum;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};

macro_rules! argument {
    ($(#[$doc:meta])* $name:ident, $sql:literal, $oid:path) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name(pg_sys::Datum);

        impl pgrx::FromDatum for $name {
            unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
                (!is_null).then_some(Self(datum))
            }
        }

        // SAFETY: the SQL type is what it says, whatever the value; it is only looked at as that.
        unsafe impl<'fcx> pgrx::callconv::ArgAbi<'fcx> for $name {
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
        unsafe impl SqlTranslatable for $name {
            const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!($name);
            const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
            const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal($sql));
            const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal($sql)));
        }

        impl $name {
            /// As a bound parameter.
            pub fn bind<'a>(value: Option<Self>) -> DatumWithOid<'a> {
                match value {
                    // SAFETY: the value is of this type, and valid as long as the call that it is an argument of.
                    Some(Self(datum)) => unsafe { DatumWithOid::new(datum, $oid) },
                    None => DatumWithOid::null_oid($oid),
                }
            }

            /// Works with its bytes, in place where they are neither compressed nor stored elsewhere.
            pub fn with_bytes<R>(self, work: impl FnOnce(&[u8]) -> R) -> R {
                // SAFETY: both types are of variable length.
                unsafe { datum::with_varlena(self.0, work) }
            }
        }
    };
}

argument!(
    /// A jsonb.
    Jsonb,
    "jsonb",
    pg_sys::JSONBOID
);
argument!(
    /// A numeric.
    Numeric,
    "numeric",
    pg_sys::NUMERICOID
);

impl Jsonb {
    /// One out of text, which must be JSON: an error of ours otherwise.
    pub fn parse(text: &str) -> Self {
        let text = std::ffi::CString::new(text).unwrap_or_default();
        // SAFETY: the function takes a NUL-terminated string, which it does not keep.
        let value = unsafe { pgrx::direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(text.as_ptr().into())]) };
        Self(value.unwrap_or_else(|| pgrx::error!("jsonb_in() gave NULL")))
    }

    /// Both together, as `||` does it.
    pub fn concat(self, other: Self) -> Self {
        // SAFETY: the function takes two jsonb.
        let value =
            unsafe { pgrx::direct_function_call_as_datum(pg_sys::jsonb_concat, &[Some(self.0), Some(other.0)]) };
        Self(value.unwrap_or_else(|| pgrx::error!("jsonb_concat() gave NULL")))
    }

    /// Bytes of the value, uncompressed.
    pub fn size(self) -> usize {
        // SAFETY: the value is a jsonb.
        unsafe { pg_sys::toast_raw_datum_size(self.0) as usize }
    }
}

/// As SQL writes it.
impl std::fmt::Display for Numeric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use pgrx::FromDatum;
        // SAFETY: the value is a numeric.
        let number = unsafe { pgrx::AnyNumeric::from_datum(self.0, false) };
        number.map_or(Ok(()), |number| number.fmt(f))
    }
}
