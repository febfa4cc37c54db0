//! Built-in functions of the server, called directly.

use pgrx::{IntoDatum, pg_sys};

/// A random uuid of version 4, from gen_random_uuid().
pub fn new_uuid() -> pgrx::Uuid {
    // SAFETY: the function takes no argument and returns a uuid.
    let id = unsafe { pgrx::direct_function_call::<pgrx::Uuid>(pg_sys::gen_random_uuid, &[]) };
    id.unwrap_or_else(|| pgrx::error!("gen_random_uuid() returned NULL"))
}

/// The md5 of a text, as 32 hexadecimal digits.
pub fn md5(text: &str) -> String {
    // SAFETY: the function takes a text and returns one.
    let digits =
        unsafe { pgrx::direct_function_call::<String>(pg_sys::md5_text, &[text.into_datum()]) };
    digits.unwrap_or_default()
}
