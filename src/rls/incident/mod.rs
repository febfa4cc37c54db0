//! Incident tools: the access paths to rows, and proof that a remediation closes a finding.

pub mod denial;
pub mod explain_denial;
pub mod prove_remediation;
pub mod remediation_effect;
pub mod trace;
pub mod trace_row;
