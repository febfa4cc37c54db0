//! Rust strings for the server's C functions.

use std::ffi::CString;

/// A NUL-terminated copy. NUL characters inside the text, which SQL cannot hold, are left out.
pub fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}
