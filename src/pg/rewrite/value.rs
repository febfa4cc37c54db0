//! Values in and out of their text, and bound parameters.

use crate::pg::catalog::lookup;
use crate::pg::cstring::c_string;
use pgrx::pg_sys;
use std::ffi::{CStr, c_int};

/// Bound values for `$1`, `$2` and so on.
pub struct Parameters {
    pub(crate) list: pg_sys::ParamListInfo,
    pub(crate) types: Vec<pg_sys::Oid>,
}

impl Parameters {
    /// For a statement without parameters.
    pub fn none() -> Self {
        Self { list: std::ptr::null_mut(), types: Vec::new() }
    }

    /// Each value with its type. The values are not copied.
    pub fn new(values: &[(pg_sys::Oid, pg_sys::Datum)]) -> Self {
        // SAFETY: the server allocates as many parameters as are written.
        unsafe {
            let list = pg_sys::makeParamList(values.len() as c_int);
            let places = (*list).params.as_mut_ptr();
            for (i, (type_, value)) in values.iter().enumerate() {
                *places.add(i) = pg_sys::ParamExternData {
                    value: *value,
                    isnull: false,
                    pflags: pg_sys::PARAM_FLAG_CONST as u16,
                    ptype: *type_,
                };
            }
            Self { list, types: values.iter().map(|(type_, _)| *type_).collect() }
        }
    }
}

/// Parses a text with the input function of a type. Raises the errors of that function.
pub fn value_of(type_: pg_sys::Oid, text: &CStr) -> pg_sys::Datum {
    let (mut input, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    // SAFETY: the text is NUL-terminated and only read.
    unsafe {
        pg_sys::getTypeInputInfo(type_, &mut input, &mut parameter);
        pg_sys::OidInputFunctionCall(input, text.as_ptr().cast_mut(), parameter, -1)
    }
}

/// As [`value_of`], as a bound parameter.
pub fn bound_value_of<'a>(type_: pg_sys::Oid, text: &CStr) -> pgrx::datum::DatumWithOid<'a> {
    // SAFETY: the value is of this type, in the current memory context.
    unsafe { pgrx::datum::DatumWithOid::new(value_of(type_, text), type_) }
}

/// An array of values of a type, from their texts. Raises the errors of the input function.
pub fn array_of(type_: pg_sys::Oid, texts: &[String]) -> pg_sys::Datum {
    let quoted = |text: &String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let list = texts.iter().map(quoted).collect::<Vec<_>>().join(",");
    value_of(lookup::array_type(type_), &c_string(&format!("{{{list}}}")))
}

/// The text of a value, by the output function of its type.
pub fn text_of(type_: pg_sys::Oid, value: pg_sys::Datum) -> String {
    let (mut output, mut is_varlena) = (pg_sys::InvalidOid, false);
    // SAFETY: an output function returns a NUL-terminated text, which is copied.
    unsafe {
        pg_sys::getTypeOutputInfo(type_, &mut output, &mut is_varlena);
        let text = pg_sys::OidOutputFunctionCall(output, value);
        CStr::from_ptr(text).to_string_lossy().into_owned()
    }
}
