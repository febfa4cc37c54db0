//! Several real sessions at once.

mod cache;
mod history;
mod random;
