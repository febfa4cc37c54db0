//! Arguments as the server passes them: read in place and passed on unchanged.
//!
//! pgrx's own types would copy each numeric, and parse each jsonb into a tree that cannot hold
//! every number.

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
            unsafe fn from_polymorphic_datum(
                datum: pg_sys::Datum,
                is_null: bool,
                _: pg_sys::Oid,
            ) -> Option<Self> {
                (!is_null).then_some(Self(datum))
            }
        }

        // SAFETY: the SQL declaration gives the argument this type, and it is read as that type
        // only.
        unsafe impl<'fcx> pgrx::callconv::ArgAbi<'fcx> for $name {
            unsafe fn unbox_arg_unchecked(arg: pgrx::callconv::Arg<'_, 'fcx>) -> Self {
                // SAFETY: guaranteed by the caller; NULL is never read.
                unsafe { arg.unbox_arg_using_from_datum().unwrap_or(Self(pg_sys::Datum::null())) }
            }

            unsafe fn unbox_nullable_arg(
                arg: pgrx::callconv::Arg<'_, 'fcx>,
            ) -> pgrx::nullable::Nullable<Self> {
                // SAFETY: guaranteed by the caller.
                unsafe { arg.unbox_arg_using_from_datum().into() }
            }
        }

        // SAFETY: the constants only name the SQL type.
        unsafe impl SqlTranslatable for $name {
            const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!($name);
            const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
            const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> =
                Ok(SqlMappingRef::literal($sql));
            const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
                Ok(ReturnsRef::One(SqlMappingRef::literal($sql)));
        }

        impl $name {
            /// A bound parameter; `None` is NULL.
            pub fn bind<'a>(value: Option<Self>) -> DatumWithOid<'a> {
                match value {
                    // SAFETY: the value is of this type, and valid during the call that it was
                    // passed to.
                    Some(Self(datum)) => unsafe { DatumWithOid::new(datum, $oid) },
                    None => DatumWithOid::null_oid($oid),
                }
            }

            /// Works with the bytes, in place if they are neither compressed nor in a TOAST table.
            pub fn with_bytes<R>(self, work: impl FnOnce(&[u8]) -> R) -> R {
                // SAFETY: jsonb and numeric are varlena types.
                unsafe { datum::with_varlena(self.0, work) }
            }
        }
    };
}

argument!(
    /// A jsonb argument.
    Jsonb,
    "jsonb",
    pg_sys::JSONBOID
);
argument!(
    /// A numeric argument.
    Numeric,
    "numeric",
    pg_sys::NUMERICOID
);

impl Jsonb {
    /// Parses JSON text of our own making; 22P02 for any other text.
    pub fn parse(text: &str) -> Self {
        let text = std::ffi::CString::new(text).unwrap_or_default();
        // SAFETY: the function takes a NUL-terminated string and does not keep it.
        let value = unsafe {
            pgrx::direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(text.as_ptr().into())])
        };
        Self(value.unwrap_or_else(|| pgrx::error!("jsonb_in() returned NULL")))
    }

    /// `self || other`, as SQL's operator merges them.
    pub fn concat(self, other: Self) -> Self {
        // SAFETY: the function takes two jsonb.
        let value = unsafe {
            pgrx::direct_function_call_as_datum(
                pg_sys::jsonb_concat,
                &[Some(self.0), Some(other.0)],
            )
        };
        Self(value.unwrap_or_else(|| pgrx::error!("jsonb_concat() returned NULL")))
    }

    /// The size in bytes, uncompressed.
    pub fn size(self) -> usize {
        // SAFETY: the value is a jsonb.
        unsafe { pg_sys::toast_raw_datum_size(self.0) as usize }
    }
}

/// The number as SQL displays it.
impl std::fmt::Display for Numeric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use pgrx::FromDatum;
        // SAFETY: the value is a numeric.
        let number = unsafe { pgrx::AnyNumeric::from_datum(self.0, false) };
        number.map_or(Ok(()), |number| number.fmt(f))
    }
}
