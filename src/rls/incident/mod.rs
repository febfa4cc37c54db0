//! Incident tools: the access paths to rows, and proof that a remediation closes a finding.

pub mod prove_remediation;
pub mod trace;
pub mod trace_row;
