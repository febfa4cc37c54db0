//! The two questions that decisions answer.

use serde::{Deserialize, Serialize};

/// The question that a decision answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// May a release be deployed?
    GoNoGo,
    /// May the application open to the public? Requires the criteria of both gates.
    Launch,
}

impl Gate {
    /// The values of crewsnow_ops.criteria.gate.
    pub const ALL: [Self; 2] = [Self::GoNoGo, Self::Launch];

    /// The name in SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GoNoGo => "go_no_go",
            Self::Launch => "launch",
        }
    }

    /// `None` for a name that is no gate.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gate| gate.as_str() == name)
    }
}
