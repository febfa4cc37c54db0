//! `is_feature_enabled_for_user`, which stands in row filters, policies and triggers and is called millions of times.
//!
//! It takes its call as the server makes it. Going through pgrx's argument handling would copy the key, check its encoding (and
//! raise an error where it does not fit) and cost as much again as the evaluation itself.

use super::cache;
use super::model::{MAX_KEY_LENGTH, UserId};
use pgrx::pg_sys;

/// Tells the server how to call [`is_feature_enabled_for_user`].
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_is_feature_enabled_for_user() -> &'static pg_sys::Pg_finfo_record {
    const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}

/// `is_feature_enabled_for_user(p_flag_key text, p_user_id uuid) RETURNS boolean`
///
/// # Safety
/// Called by the server with exactly these two arguments.
#[unsafe(no_mangle)]
#[pgrx::pg_guard]
pub unsafe extern "C-unwind" fn is_feature_enabled_for_user(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the SQL declaration has two arguments, text and uuid, either of which may be NULL; both outlive the call.
    let (key, user) = unsafe {
        let arguments = (*fcinfo).args.as_slice(2);
        if arguments[0].isnull {
            return pg_sys::Datum::from(false);
        }
        let Some(key) = short_text(arguments[0].value) else {
            return pg_sys::Datum::from(false);
        };
        let user = (!arguments[1].isnull).then(|| &*arguments[1].value.cast_mut_ptr::<UserId>());
        (key, user)
    };
    pg_sys::Datum::from(cache::decide(key, user).is_on())
}

/// The bytes of a text that is short enough to be a key.
///
/// # Safety
/// `datum` must be a text that outlives the result.
#[inline(always)]
unsafe fn short_text<'a>(datum: pg_sys::Datum) -> Option<&'a [u8]> {
    // SAFETY: the caller vouches for a text. Literals are plain and columns usually short varlenas; both are read in place.
    unsafe {
        let mut varlena = datum.cast_mut_ptr::<pg_sys::varlena>();
        if pgrx::varatt_is_1b_e(varlena) || pgrx::varatt_is_4b_c(varlena) {
            if pg_sys::toast_raw_datum_size(datum) > MAX_KEY_LENGTH + pg_sys::VARHDRSZ {
                return None;
            }
            varlena = pg_sys::pg_detoast_datum_packed(varlena);
        }
        let length = pgrx::varsize_any_exhdr(varlena);
        (length <= MAX_KEY_LENGTH).then(|| std::slice::from_raw_parts(pgrx::vardata_any(varlena).cast::<u8>(), length))
    }
}
