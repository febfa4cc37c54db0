//! Reasons against the execution of an erasure.

/// A reason why an erasure cannot be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// Whether only a decision is missing.
    pub is_undecided: bool,
    /// The table.
    pub object: String,
    /// The number of rows.
    pub rows: i64,
    /// The foreign key or column.
    pub by: String,
    /// The reason, one sentence without a period.
    pub detail: String,
    /// The statement that decides.
    pub command: String,
}
