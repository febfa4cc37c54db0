//! `is_feature_enabled_for_user`, which stands in row filters, policies and triggers and is called millions of times.
//!
//! It takes its call as the server makes it. Going through pgrx's argument handling would copy the key, check its encoding (and
//! raise an error where it does not fit) and cost as much again as the evaluation itself.

// Allowed here because this hot path takes its call as the server makes it, without pgrx. Everywhere
// else outside `pg`, `Cargo.toml` denies unsafe code.
#![allow(unsafe_code)]

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
/// The quick way round pgrx's guard is for calls that cannot fail; everything else goes through it.
///
/// # Safety
/// Called by the server with exactly these two arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn is_feature_enabled_for_user(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the SQL declaration has two arguments, text and uuid, either of which may be NULL; both outlive the call.
    unsafe {
        let arguments = (*fcinfo).args.as_slice(2);
        let (key, user) = (&arguments[0], &arguments[1]);
        if key.isnull {
            return pg_sys::Datum::from(false);
        }
        let user = if user.isnull { None } else { user.value.cast_mut_ptr::<UserId>().as_ref() };
        if let Some(key) = plain_text(key.value)
            && let Some(decision) = cache::decide_at_hand(key, user)
        {
            return pg_sys::Datum::from(decision.is_on());
        }
        decide_guarded(key.value, user)
    }
}

/// # Safety
/// `key` must be a text that outlives the call.
#[pgrx::pg_guard]
#[inline(never)]
unsafe extern "C-unwind" fn decide_guarded(key: pg_sys::Datum, user: Option<&UserId>) -> pg_sys::Datum {
    // SAFETY: as the caller vouches.
    let is_on = unsafe { short_text(key) }.is_some_and(|key| cache::decide(key, user).is_on());
    pg_sys::Datum::from(is_on)
}

/// The bytes of a text that can be read in place, as literals and short column values can.
///
/// # Safety
/// `datum` must be a text that outlives the result.
#[inline(always)]
unsafe fn plain_text<'a>(datum: pg_sys::Datum) -> Option<&'a [u8]> {
    // SAFETY: the caller vouches for a text; neither compressed nor stored elsewhere, it follows its header.
    unsafe {
        let varlena = datum.cast_mut_ptr::<pg_sys::varlena>();
        if pgrx::varatt_is_1b_e(varlena) || pgrx::varatt_is_4b_c(varlena) {
            return None;
        }
        Some(std::slice::from_raw_parts(pgrx::vardata_any(varlena).cast::<u8>(), pgrx::varsize_any_exhdr(varlena)))
    }
}

/// The bytes of a text, however it is stored, that is short enough to be a key.
///
/// # Safety
/// `datum` must be a text that outlives the result.
unsafe fn short_text<'a>(datum: pg_sys::Datum) -> Option<&'a [u8]> {
    // SAFETY: the caller vouches for a text.
    unsafe {
        if pg_sys::toast_raw_datum_size(datum) > MAX_KEY_LENGTH + pg_sys::VARHDRSZ {
            return None;
        }
        plain_text(pg_sys::Datum::from(pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr())))
    }
}
