//! `is_feature_enabled_for_user`. Row filters, policies and triggers call it millions of times.
//!
//! The function reads its arguments without pgrx's wrapper, which copies the key, checks its
//! encoding (and raises an error where that fails), and costs as much again as the evaluation.

// Allowed here because this hot path takes its call as the server makes it, without pgrx.
// Everywhere else outside `pg`, `Cargo.toml` denies unsafe code.
#![allow(unsafe_code)]

use super::bucket::{UserId, parse_uuid};
use super::cache;
use super::evaluation::decide_for_text;
use super::model::MAX_KEY_LENGTH;
use pgrx::pg_sys;

/// Tells the server how to call [`is_feature_enabled_for_user`].
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_is_feature_enabled_for_user() -> &'static pg_sys::Pg_finfo_record {
    const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}

/// `is_feature_enabled_for_user(p_flag_key text, p_user_id uuid) RETURNS boolean`
///
/// Only calls that cannot fail skip pgrx's guard.
///
/// # Safety
/// Called by the server with exactly these two arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn is_feature_enabled_for_user(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: the SQL declaration has two arguments, text and uuid. Either may be NULL; both
    // outlive the call.
    unsafe {
        let arguments = (*fcinfo).args.as_slice(2);
        let (key, user) = (&arguments[0], &arguments[1]);
        if key.isnull {
            return pg_sys::Datum::from(false);
        }
        let user = if user.isnull { None } else { user.value.cast_mut_ptr::<UserId>().as_ref() };
        if let Some(key) = inline_text(key.value)
            && let Some(decision) = cache::decide_fast(key, user)
        {
            return pg_sys::Datum::from(decision.is_on());
        }
        decide_guarded(key.value, user)
    }
}

/// Tells the server how to call [`is_feature_enabled_for_text_user`].
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_is_feature_enabled_for_text_user() -> &'static pg_sys::Pg_finfo_record {
    const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}

/// `is_feature_enabled_for_user(p_flag_key text, p_user text) RETURNS boolean`
///
/// # Safety
/// Called by the server with exactly these two arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn is_feature_enabled_for_text_user(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: the SQL declaration has two arguments of type text. Either may be NULL; both outlive
    // the call.
    unsafe {
        let arguments = (*fcinfo).args.as_slice(2);
        let (key, user) = (&arguments[0], &arguments[1]);
        if key.isnull {
            return pg_sys::Datum::from(false);
        }
        let user = if user.isnull { None } else { Some(&user.value) };
        if let Some(key) = inline_text(key.value)
            && let Some(id) = user.and_then(|user| inline_text(*user)).and_then(parse_uuid)
            && let Some(decision) = cache::decide_fast(key, Some(&id))
        {
            return pg_sys::Datum::from(decision.is_on());
        }
        decide_text_guarded(key.value, user)
    }
}

/// # Safety
/// Both must be texts that outlive the call.
#[pgrx::pg_guard]
#[inline(never)]
unsafe extern "C-unwind" fn decide_text_guarded(
    key: pg_sys::Datum,
    user: Option<&pg_sys::Datum>,
) -> pg_sys::Datum {
    // SAFETY: guaranteed by the caller. A detoasted copy lives as long as the call's context.
    let is_on = unsafe {
        let user = user.and_then(|user| {
            inline_text(pg_sys::Datum::from(pg_sys::pg_detoast_datum_packed(user.cast_mut_ptr())))
        });
        let user = user.map(String::from_utf8_lossy);
        short_text(key).is_some_and(|key| decide_for_text(key, user.as_deref()).is_on())
    };
    pg_sys::Datum::from(is_on)
}

/// # Safety
/// `key` must be a text that outlives the call.
#[pgrx::pg_guard]
#[inline(never)]
unsafe extern "C-unwind" fn decide_guarded(
    key: pg_sys::Datum,
    user: Option<&UserId>,
) -> pg_sys::Datum {
    // SAFETY: guaranteed by the caller.
    let is_on = unsafe { short_text(key) }.is_some_and(|key| cache::decide(key, user).is_on());
    pg_sys::Datum::from(is_on)
}

/// The bytes of a text that is neither compressed nor stored out of line.
///
/// # Safety
/// `datum` must be a text that outlives the result.
#[inline(always)]
unsafe fn inline_text<'a>(datum: pg_sys::Datum) -> Option<&'a [u8]> {
    // SAFETY: the caller passes a text; if it is neither compressed nor stored out of line, its
    // bytes follow the header.
    unsafe {
        let varlena = datum.cast_mut_ptr::<pg_sys::varlena>();
        if pgrx::varatt_is_1b_e(varlena) || pgrx::varatt_is_4b_c(varlena) {
            return None;
        }
        Some(std::slice::from_raw_parts(
            pgrx::vardata_any(varlena).cast::<u8>(),
            pgrx::varsize_any_exhdr(varlena),
        ))
    }
}

/// The detoasted bytes of a text, if it is short enough for a key.
///
/// # Safety
/// `datum` must be a text that outlives the result.
unsafe fn short_text<'a>(datum: pg_sys::Datum) -> Option<&'a [u8]> {
    // SAFETY: the caller passes a text.
    unsafe {
        if pg_sys::toast_raw_datum_size(datum) > MAX_KEY_LENGTH + pg_sys::VARHDRSZ {
            return None;
        }
        inline_text(pg_sys::Datum::from(pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr())))
    }
}
