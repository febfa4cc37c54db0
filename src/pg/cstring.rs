//! Rust strings as the server wants them.

use std::ffi::CString;

/// A text for the server.
pub fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}
