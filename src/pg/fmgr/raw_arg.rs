//! Arguments as the server passes them: read in place and passed on unchanged.
//!
//! pgrx's own types would copy each numeric, and parse each jsonb into a tree that cannot hold
//! every number.

use crate::pg::access::datum;
use crate::pg::error::ServerError;
use crate::pg::xact::subtransaction::{Failure, isolated};
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

        impl pgrx::IntoDatum for $name {
            fn into_datum(self) -> Option<pg_sys::Datum> {
                Some(self.0)
            }

            fn type_oid() -> pg_sys::Oid {
                $oid
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

        }
    };
}

macro_rules! varlena {
    ($name:ident) => {
        impl $name {
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

argument!(
    /// A json argument: JSON text.
    Json,
    "json",
    pg_sys::JSONOID
);

/// An argument of any type, with that type: the SQL declaration says `anycompatible`.
#[derive(Clone, Copy)]
pub struct Any {
    value: pg_sys::Datum,
    type_: pg_sys::Oid,
}

impl pgrx::FromDatum for Any {
    const GET_TYPOID: bool = true;

    unsafe fn from_polymorphic_datum(
        value: pg_sys::Datum,
        is_null: bool,
        type_: pg_sys::Oid,
    ) -> Option<Self> {
        (!is_null).then_some(Self { value, type_ })
    }
}

// SAFETY: the value is read as the type that the server says it has.
unsafe impl<'fcx> pgrx::callconv::ArgAbi<'fcx> for Any {
    unsafe fn unbox_arg_unchecked(arg: pgrx::callconv::Arg<'_, 'fcx>) -> Self {
        let null = Self { value: pg_sys::Datum::null(), type_: pg_sys::InvalidOid };
        // SAFETY: guaranteed by the caller; NULL is never read.
        unsafe { arg.unbox_arg_using_from_datum().unwrap_or(null) }
    }

    unsafe fn unbox_nullable_arg(
        arg: pgrx::callconv::Arg<'_, 'fcx>,
    ) -> pgrx::nullable::Nullable<Self> {
        // SAFETY: guaranteed by the caller.
        unsafe { arg.unbox_arg_using_from_datum().into() }
    }
}

// SAFETY: the constants only name the SQL type.
unsafe impl SqlTranslatable for Any {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Any);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> =
        Ok(SqlMappingRef::literal("anycompatible"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::One(SqlMappingRef::literal("anycompatible")));
}

impl Any {
    /// The value, if it is a jsonb.
    pub fn jsonb(self) -> Option<Jsonb> {
        // SAFETY: looks up a type.
        let base = unsafe { pg_sys::getBaseType(self.type_) };
        (base == pg_sys::JSONBOID).then_some(Jsonb(self.value))
    }

    /// The value as SQL displays it.
    pub fn text(self) -> String {
        // SAFETY: the value is of this type, whose output function returns a NUL-terminated string.
        unsafe {
            let (mut function, mut is_varlena) = (pg_sys::InvalidOid, false);
            pg_sys::getTypeOutputInfo(self.type_, &mut function, &mut is_varlena);
            text_of(pg_sys::OidOutputFunctionCall(function, self.value))
        }
    }
}

/// # Safety
/// `text` must be NUL-terminated and allocated by the server.
unsafe fn text_of(text: *mut std::ffi::c_char) -> String {
    // SAFETY: as the caller vouches.
    unsafe {
        let owned = std::ffi::CStr::from_ptr(text).to_string_lossy().into_owned();
        pg_sys::pfree(text.cast());
        owned
    }
}

impl Json {
    /// The text.
    pub fn text(self) -> String {
        self.with_bytes(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

impl Numeric {
    /// A whole number.
    pub fn from_integer(number: i64) -> Self {
        Self(datum::decimal(number, 0))
    }

    /// A double precision number with 15 digits, as a cast in SQL makes it. Keeps NaN and
    /// infinities.
    pub fn from_float(number: f64) -> Self {
        // The cast prints the number and reads the text, at half the cost of the other work.
        if let Some((digits, places)) = short_decimal(number) {
            return Self(datum::decimal(digits, places));
        }
        // SAFETY: the function takes a double precision number.
        let value = unsafe {
            use pgrx::IntoDatum;
            pgrx::direct_function_call_as_datum(pg_sys::float8_numeric, &[number.into_datum()])
        };
        Self(value.unwrap_or_else(|| pgrx::error!("float8_numeric() returned NULL")))
    }
}

/// The digits and decimal places of a number that has at most 15 digits and six places, but not
/// four, which older minors get wrong.
fn short_decimal(number: f64) -> Option<(i64, u16)> {
    const POWERS: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];
    let decimal = POWERS.iter().zip(0..).find_map(|(power, places)| {
        let digits = (number * power).round();
        // The quotient is correctly rounded, so equality holds for one decimal of 15 digits only.
        (digits.abs() < 1e15 && digits / power == number).then_some((digits as i64, places))
    });
    decimal.filter(|(_, places)| *places != 4)
}

varlena!(Jsonb);
varlena!(Numeric);
varlena!(Json);
argument!(
    /// An xid8 argument.
    Xid8,
    "xid8",
    pg_sys::XID8OID
);

impl Jsonb {
    /// Parses any text; the error if it is no JSON, or JSON that jsonb cannot hold. Costs a
    /// subtransaction.
    pub fn try_parse(text: &str) -> Result<Self, Failure> {
        isolated(|| Self::parse(text))
    }

    /// The value of a key of an object; `None` if there is none.
    pub fn field(self, key: &str) -> Option<Self> {
        use pgrx::IntoDatum;
        // SAFETY: the function takes a jsonb and a text.
        let field = unsafe {
            pgrx::direct_function_call_as_datum(
                pg_sys::jsonb_object_field,
                &[Some(self.0), key.into_datum()],
            )
        };
        field.map(Self)
    }

    /// Whether `self` contains `other`, as SQL's `@>` says.
    pub fn contains(self, other: Self) -> bool {
        // SAFETY: the function takes two jsonb.
        unsafe {
            pgrx::direct_function_call::<bool>(
                pg_sys::jsonb_contains,
                &[Some(self.0), Some(other.0)],
            )
        }
        .unwrap_or(false)
    }

    /// The value as a tree. 22023 if the tree cannot hold it; `argument` is for the message.
    pub fn value(self, argument: &'static str) -> Result<serde_json::Value, ServerError> {
        serde_json::from_str(&self.text()).map_err(|_| ServerError::UnreadableJson(argument))
    }

    /// The JSON text.
    pub fn text(self) -> String {
        // SAFETY: the function takes a jsonb and returns a NUL-terminated string.
        unsafe {
            let text = pgrx::direct_function_call_as_datum(pg_sys::jsonb_out, &[Some(self.0)]);
            text.map_or_else(String::new, |text| text_of(text.cast_mut_ptr()))
        }
    }

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
