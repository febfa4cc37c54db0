//! Rewritten queries and expression trees: quals, variables, candidate values.

pub(crate) mod analysis;
pub mod boundary_values;
pub mod candidate_values;
pub mod claims;
pub mod clock;
pub mod evaluation;
pub mod function_body;
pub mod function_source;
pub(crate) mod list;
pub mod monotonic;
pub(crate) mod mutate;
pub mod null_tests;
pub mod policy_expr;
pub mod policy_overlay;
pub mod qual;
pub mod redact;
pub(crate) mod relations;
pub mod row_security;
pub mod statement;
pub mod stored_row;
pub mod sublink;
pub mod trusted_columns;
pub mod user_comparison;
mod user_id_form;
pub mod value;
pub mod vars;
pub(crate) mod walk;
