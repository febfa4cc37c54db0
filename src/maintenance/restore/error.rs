//! Errors of a restore test.

use crate::error::{SqlError, reportable};
use crate::pg::error::{ServerError, from_server_failures};
use pgrx::PgSqlErrorCode;
use std::path::{Path, PathBuf};

/// A restore test that cannot be made with this server or this backup.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// SQLSTATE 58P01
    #[error("program {name} is missing from {}", place(directory.as_deref()))]
    NoProgram {
        /// The name of the program.
        name: String,
        /// The directory of the server's own programs.
        directory: Option<PathBuf>,
    },
    /// SQLSTATE 55000
    #[error("{} is not of PostgreSQL {major}", path.display())]
    OtherProgram {
        /// The program.
        path: PathBuf,
        /// Its answer to `--version`.
        version: String,
        /// The server's major version.
        major: u32,
    },
    /// SQLSTATE 58000
    #[error("{} cannot be run", path.display())]
    NotRun {
        /// The program.
        path: PathBuf,
        /// The reason that the system or the program gives.
        reason: String,
    },
    /// SQLSTATE 42501: another user could have written a program or a backup that runs as the
    /// server
    #[error("another user can change {}", path.display())]
    Untrusted {
        /// The file or folder, or one that it lies in.
        path: PathBuf,
        /// Its owner or mode.
        reason: String,
        /// The command that mends it, as root.
        command: String,
    },
    /// SQLSTATE 22023
    #[error("the location of a backup must be an absolute path of this machine")]
    NotAPath(String),
    /// SQLSTATE 58P01
    #[error("backup {} does not exist", .0.display())]
    NoBackup(PathBuf),
    /// SQLSTATE 58030
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The reason that the system gives.
        reason: String,
    },
    /// SQLSTATE 22023
    #[error("{} is no backup", path.display())]
    NotABackup {
        /// The file or folder.
        path: PathBuf,
        /// The content as it was recognised.
        content: String,
    },
    /// SQLSTATE 0A000
    #[error("{} is encrypted", path.display())]
    Encrypted {
        /// The file.
        path: PathBuf,
        /// The program that encrypted it.
        program: &'static str,
        /// A command that decrypts it.
        command: String,
    },
    /// SQLSTATE 0A000
    #[error("{} is compressed", path.display())]
    Compressed {
        /// The file.
        path: PathBuf,
        /// A command that decompresses it.
        command: String,
    },
    /// SQLSTATE 0A000
    #[error("{} is of PostgreSQL {version}, and this server is {major}", path.display())]
    OtherMajor {
        /// The backup.
        path: PathBuf,
        /// The version of its server.
        version: String,
        /// The major version of this server.
        major: u32,
    },
    /// SQLSTATE XX001
    #[error("backup {} is truncated or damaged", path.display())]
    Truncated {
        /// The backup.
        path: PathBuf,
        /// The place of the damage.
        evidence: String,
    },
    /// SQLSTATE 42501: psql would leave the scratch database
    #[error("{} changes other databases than the restored one", path.display())]
    LeavesDatabase {
        /// The plain dump.
        path: PathBuf,
        /// The number of the line, from 1.
        line: u64,
        /// The first word of the command.
        command: &'static str,
    },
    /// SQLSTATE 53100
    #[error("{} has no room for the restored backup", directory.display())]
    NoRoom {
        /// The directory.
        directory: PathBuf,
        /// Bytes that the restore needs.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// SQLSTATE 58030
    #[error("{} cannot be written", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// The reason that the system gives.
        reason: String,
    },
    /// An error of the server's interface, with its own SQLSTATE.
    #[error(transparent)]
    Server(#[from] ServerError),
}

fn place(directory: Option<&Path>) -> String {
    directory.map_or_else(
        || "the server's directory".into(),
        |directory| directory.display().to_string(),
    )
}

/// A word of a shell command.
pub fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

/// Bytes as whole megabytes, rounded up.
fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

const NOTHING: &str = "Nothing was restored.";

impl SqlError for RestoreError {
    fn sqlstate(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Self::NoProgram { .. } | Self::NoBackup(_) => Code::ERRCODE_UNDEFINED_FILE,
            Self::OtherProgram { .. } => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            Self::NotRun { .. } => Code::ERRCODE_SYSTEM_ERROR,
            Self::Untrusted { .. } | Self::LeavesDatabase { .. } => {
                Code::ERRCODE_INSUFFICIENT_PRIVILEGE
            }
            Self::Unreadable { .. } | Self::Unwritable { .. } => Code::ERRCODE_IO_ERROR,
            Self::NotAPath(_) | Self::NotABackup { .. } => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Self::Encrypted { .. } | Self::Compressed { .. } | Self::OtherMajor { .. } => {
                Code::ERRCODE_FEATURE_NOT_SUPPORTED
            }
            Self::Truncated { .. } => Code::ERRCODE_DATA_CORRUPTED,
            Self::NoRoom { .. } => Code::ERRCODE_DISK_FULL,
            Self::Server(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::NoProgram { .. } => format!("Programs are never taken from PATH. {NOTHING}"),
            Self::OtherProgram { version, .. } => format!("It answers: {version}. {NOTHING}"),
            Self::NotRun { reason, .. }
            | Self::Untrusted { reason, .. }
            | Self::Unreadable { reason, .. }
            | Self::Unwritable { reason, .. } => format!("{reason}. {NOTHING}"),
            Self::NotAPath(location) => format!("It is \"{location}\". {NOTHING}"),
            Self::NoBackup(_) => format!("The server looks on its own machine. {NOTHING}"),
            Self::NotABackup { content, .. } => format!("It is {content}. {NOTHING}"),
            Self::Encrypted { program, .. } => {
                format!("It begins as a file of {program}. {NOTHING}")
            }
            Self::Compressed { .. } | Self::OtherMajor { .. } => NOTHING.into(),
            Self::Truncated { evidence, .. } => format!("{evidence}. {NOTHING}"),
            Self::LeavesDatabase { line, command, .. } => {
                format!("Line {line} is a {command}, which may reach the source. {NOTHING}")
            }
            Self::NoRoom { needed, free, .. } => format!(
                "It needs {} MB and has {} MB. {NOTHING}",
                megabytes(*needed),
                megabytes(*free)
            ),
            Self::Server(error) => return error.detail(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoProgram { .. } | Self::OtherProgram { .. } => {
                "SET crewsnow_ops.program_directory = '/usr/lib/postgresql/15/bin';".into()
            }
            Self::NotRun { path, .. } => format!("{} --version", quoted(path)),
            Self::Untrusted { command, .. } => command.clone(),
            Self::NotAPath(_) => {
                "SELECT test_backup_restore_procedure('/var/backups/shop.dump');".into()
            }
            Self::NoBackup(path)
            | Self::Unreadable { path, .. }
            | Self::Unwritable { path, .. } => {
                format!("ls -ld {}", quoted(path))
            }
            Self::NotABackup { .. } | Self::Truncated { .. } => {
                "pg_dump --format=custom --file=/var/backups/shop.dump shop".into()
            }
            Self::Encrypted { command, .. } | Self::Compressed { command, .. } => command.clone(),
            Self::OtherMajor { .. } => "Restore it with a server of its own version.".into(),
            Self::LeavesDatabase { .. } => {
                "pg_dump --format=plain --file=/var/backups/shop.sql shop".into()
            }
            Self::NoRoom { .. } => "SET crewsnow_ops.restore_directory = '/mnt/restore';".into(),
            Self::Server(error) => return error.hint(),
        })
    }
}

reportable!(RestoreError);
from_server_failures!(RestoreError);

impl RestoreError {
    /// A file or folder that the system refuses to read.
    pub fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), reason: error.to_string() }
    }

    /// A file or folder that the system refuses to write; 53100 if its disk is full.
    pub fn unwritable(path: &Path, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::NoRoom { directory: path.to_owned(), needed: 0, free: 0 };
        }
        Self::Unwritable { path: path.to_owned(), reason: error.to_string() }
    }
}
