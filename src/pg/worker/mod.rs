//! A background worker that runs statements at top level, which the server refuses to functions:
//! VACUUM, REINDEX CONCURRENTLY. It needs no preloading, only a free slot of max_worker_processes.
//!
//! The worker has the privileges of the role that starts it, and no others. Requests and replies
//! are messages in shared memory that only the two processes map. The worker ends when its leader
//! ends in any way, when it gets SIGTERM, and after the last request.

mod channel;
mod leader;
mod process;
mod statement;
mod warnings;

pub(in crate::pg) use channel::wait_for_latch;
pub use leader::{Worker, WorkerError};
pub use process::{Recorder, set_recorder};

use serde::{Deserialize, Serialize};

/// A statement for the worker.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Statement {
    /// One SQL statement. Its names are qualified: `search_path` holds no schema of users.
    pub sql: String,
    /// Settings that hold for this statement, as SET would set them. The worker's role must be
    /// allowed to set them.
    pub settings: Vec<(String, String)>,
    /// The end of its time, in microseconds since 2000; `None` without a limit.
    pub deadline: Option<i64>,
    /// Whether it runs no code of users, so that its messages hold no rows.
    pub is_own: bool,
}

/// A message below ERROR that a statement sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The SQLSTATE.
    pub sqlstate: String,
    /// The message, in the language of the server's messages.
    pub message: String,
}

/// The end of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It succeeded, with these warnings. A VACUUM that skips its table succeeds with a warning.
    Done(Vec<Warning>),
    /// It failed, and its transaction is undone.
    Failed {
        /// The SQLSTATE.
        sqlstate: String,
        /// The message, without text that may quote rows.
        message: String,
    },
    /// It was cancelled at its deadline.
    TimedOut,
}

/// A statement of a worker for which no leader waits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DetachedStep {
    /// The statement.
    pub statement: Statement,
    /// Statements that remove its remains, run if it fails or is cancelled.
    pub cleanup: Vec<Statement>,
    /// Passed to the recorder with the outcome.
    pub record: String,
}

/// A message from the leader.
#[derive(Debug, Serialize, Deserialize)]
enum Request {
    /// Runs a statement and replies with its outcome.
    Run(Statement),
    /// Passes a text to the recorder, in a transaction of its own.
    Record(String),
    /// Runs the steps and ends, whatever becomes of the leader.
    Detach(Vec<DetachedStep>),
}

/// A message from the worker.
#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    /// The worker is connected.
    Ready,
    /// The end of a statement.
    Ended(Outcome),
}
